/**
 * How the fastest algorithm gets into repositories that a cluster makes, beside kopia's advice for its own command line.
 * Proof: test/benchmark.test.ts.
 * @module
 */
import type { Session } from "../session.ts";

const variables = {
  hash: "KOPIA_HASHING_ALGORITHM",
  encryption: "KOPIA_ENCRYPTION_ALGORITHM",
  splitter: "KOPIA_SPLITTER_ALGORITHM",
} as const;

/** Tells it as a message: tables stay kopia's. */
export function recommend(
  session: Session,
  chosen: { readonly [What in keyof typeof variables]?: string | undefined },
): void {
  const lines = Object.entries(chosen).flatMap(([what, name]) =>
    name ? [`  - { name: ${variables[what as keyof typeof variables]}, value: ${name} }`] : [],
  );
  if (lines.length === 0) return;
  session.say(
    [
      "For new repositories of a cluster, in spec.configuration.velero.podConfig.env of its DataProtectionApplication:",
      ...lines,
    ].join("\n"),
  );
}
