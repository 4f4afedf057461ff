/**
 * Every text of an object, its conditions, containers and events that may say why something does not go on.
 * Proof: test/why/explain.test.ts.
 * @module
 */
import { labels } from "@dm/crds";
import { listAt, type Seen, type SeenObject, textAt, valueAt } from "./seen.ts";

export interface Evidence {
  readonly of: SeenObject;
  readonly text: string;
  /** Events may be about what is over since; a status is about now. */
  readonly isEvent: boolean;
}

/** A controller that fails repeats itself: what came first and last is enough. */
const eventsOfObject = 6;
const longestText = 4_000;

export function evidenceOf(seen: Seen): Evidence[] {
  return seen.objects.flatMap((of) => [
    ...statusTexts(of).map((text) => ({ of, text: cut(text), isEvent: false })),
    ...eventTexts(of).map((text) => ({ of, text: cut(text), isEvent: true })),
  ]);
}

function statusTexts(of: SeenObject): string[] {
  const { kind, object } = of;
  if (object === undefined) return [];
  const status = valueAt(object, "status");
  const lastRun = listAt(status, "recentMaintenance").at(-1);
  const gcFailure = object.metadata.labels?.[labels.gcFailure] ?? "";
  return [
    textAt(status, "failureReason"),
    textAt(status, "message"),
    ...listAt(status, "validationErrors").map(String),
    ...(kind === "DeleteBackupRequest" ? listAt(status, "errors").map(String) : []),
    textAt(status, "error", "message"),
    textAt(lastRun, "result") === "Failed"
      ? `the last maintenance failed: ${textAt(lastRun, "message")}`
      : "",
    gcFailure === "" ? "" : `not deleted when it expired: ${gcFailure}`,
    ...conditionTexts(status, kind),
    ...containerTexts(status),
  ].filter((text) => text !== "");
}

/** A condition that is not met says why. */
function conditionTexts(status: unknown, kind: string): string[] {
  return listAt(status, "conditions").flatMap((condition) => {
    const [type, state] = [textAt(condition, "type"), textAt(condition, "status")];
    // Of a node only this one is good when it is True; of a pod the others follow from its containers.
    if (kind === "Node" && type !== "Ready") return [];
    if (kind === "Pod" && type !== "PodScheduled") return [];
    if (state === "True" || state === "") return [];
    const [reason, message] = [textAt(condition, "reason"), textAt(condition, "message")];
    const why = [reason, message].filter(Boolean).join(": ");
    return [`condition ${type} is ${state}${why && `: ${why}`}`];
  });
}

function containerTexts(status: unknown): string[] {
  const all = [...listAt(status, "initContainerStatuses"), ...listAt(status, "containerStatuses")];
  return all.flatMap((container) => {
    const name = textAt(container, "name");
    const waiting = valueAt(container, "state", "waiting");
    const ended = valueAt(container, "state", "terminated");
    const before = valueAt(container, "lastState", "terminated");
    const texts: string[] = [];
    const reason = textAt(waiting, "reason");
    // Every pod begins with these.
    if (reason !== "" && reason !== "ContainerCreating" && reason !== "PodInitializing")
      texts.push(`container ${name} waits: ${joined(reason, textAt(waiting, "message"))}`);
    for (const end of [ended, before]) {
      const code = textAt(end, "exitCode");
      if (code !== "" && code !== "0")
        texts.push(
          `container ${name} ended with ${code}: ${joined(textAt(end, "reason"), textAt(end, "message"))}`,
        );
    }
    return texts;
  });
}

function eventTexts({ events }: SeenObject): string[] {
  const texts = events
    .filter(({ type }) => type === "Warning")
    .map(({ message = "", reason = "" }) => joined(reason, message));
  const unique = [...new Set(texts)];
  return unique.length <= eventsOfObject
    ? unique
    : [...unique.slice(0, 2), ...unique.slice(2 - eventsOfObject)];
}

const joined = (reason: string, message: string): string =>
  [reason, message.trim()].filter((text) => text !== "").join(": ");

const cut = (text: string): string =>
  text.length > longestText ? `${text.slice(0, longestText)}…` : text;
