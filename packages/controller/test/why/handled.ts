/**
 * Texts of the sources that no known problem need know by themselves, and why: every line is somebody's decision. A new text fails the
 * test until it has a problem, or a line here.
 */

const part = "part of a sentence that begins with the words of another text, which a problem knows";
const metric = "help of a metric";
const noFailure = "tells what was done or left out; nothing failed";
const program = "a program was started wrongly or has a bug: it ends at its start, in its own log";
const warning = "a warning, which says itself what to do";

const rules: readonly (readonly [file: RegExp, text: RegExp, why: string])[] = [
  [/^metrics\//, /^/, metric],
  [
    /^runtime\//,
    /^/,
    "comes with a code of DM_KUBE_…, DM_EXEC_…, DM_LEASE_… or DM_RECONCILE_…, which problems know, or tells a programmer",
  ],
  [
    /^oadp\/(validate-.*|location-secret|plan-pods)\.ts$/,
    /^/,
    "application-invalid: in the condition Reconciled",
  ],
  [
    /^oadp\/apply-object\.ts$/,
    /is being deleted$/,
    "application-invalid: in the condition Reconciled",
  ],
  [/^oadp\/reconcile-application\.ts$/, /^Got DaemonSet/, warning],
  [/^oadp\/reconcile-application\.ts$/, /^/, noFailure],
  [/^oadp\/application-warnings\.ts$/, /^/, warning],
  [/^schedule\/cron\.ts$/, /^/, "schedule-invalid: behind `invalid schedule: `"],
  [/^schedule\/reconcile-schedule\.ts$/, /^Time between/, metric],
  [
    /^retention\/decide-sync\.ts$/,
    /^(it is|its phase)/,
    "in the server's log: a folder that is no backup's is left alone",
  ],
  [/^retention\/reconcile-delete-request\.ts$/, /^Deletions of backups/, metric],
  [/^retention\/report-orphans\.ts$/, /^Snapshots in a repository/, metric],
  [/^backup\/reconcile-backup\.ts$/, /^Bytes of/, metric],
  [/^repository\/reconcile-storage-location\.ts$/, /^1: the location/, metric],
  [/^node-agent\/node-agent\.ts$/, /^(Data paths of|From acceptance)/, metric],
  [/^restore\/json-patch\.ts$/, /^/, "resource-modifier: behind `error in applying patch: `"],
  [
    /^restore\/resource-modifier\.ts$/,
    /^/,
    "resource-modifier: behind `illegal resource modifiers`",
  ],
  [
    /^restore\/plan-restore\.ts$/,
    /^(its|it has|it is)/,
    "backup-damaged: behind `error decoding …: `",
  ],
  [/^restore\/plan-restore\.ts$/, /is restored in its place$/, noFailure],
  [
    /^restore\/(follow-restore|reconcile-restore|restored-volumes)\.ts$/,
    /^(pods|the Restore|not bound)/,
    part,
  ],
  [/^restore\/volumes\.ts$/, /^(its data is|it has no snapshot|pod volume)/, noFailure],
  [/^restore\/actions\//, /^(it is|its work|the restore does not)/, noFailure],
  [/^repository\/connect-repository\.ts$/, /^not known$/, part],
  [
    /^repository\/maintenance-config\.ts$/,
    /its data is no JSON object$/,
    "in the server's log; the standard settings are taken",
  ],
  [
    /^repository\/reconcile-backup-repository\.ts$/,
    /^re-establish/,
    "Velero's words while it connects anew after a change",
  ],
  [/^repository\/reconcile-backup-repository\.ts$/, /^(created|there is none)/, noFailure],
  [/^repository\/reconcile-backup-repository\.ts$/, /^the repository has the password/, warning],
  [/^repository\/run-maintenance\.ts$/, /^--/, program],
  [/^repository\/storage-location\.ts$/, /^(key|…)/, part],
  [/^mover\/(mover-settings|pod-connection)\.ts$/, /^/, program],
  [/^mover\/run-mover\.ts$/, /^Data path for/, noFailure],
  [/^mover\/data-path-message\.ts$/, /was saved$/, part],
  [/^pod-volume\/due-volumes\.ts$/, /^name=/, part],
  [
    /^node-agent\/(label-selector|node-agent-config)\.ts$/,
    /^/,
    "node-agent-settings: in the agent's log behind the name of the ConfigMap; what is wrong is left out",
  ],
  [
    /^node-agent\/perform\.ts$/,
    /^(… takes over|accepted by|the hosting pod runs|intermediate)/,
    noFailure,
  ],
  [/^node-agent\/transfer-texts\.ts$/, /^volume was empty/, noFailure],
  [
    /^expose\/diagnosis\.ts$/,
    /^/,
    "a line of the diagnosis behind prepare-timeout: state, not failure",
  ],
  [/^expose\/exposure\.ts$/, /is being deleted$/, part],
  [/^expose\/pod-volume-exposer\.ts$/, /^volume … of pod …$/, part],
  [
    /^expose\/(rebind|snapshot-copy)\.ts$/,
    /^(neither|it is not bound|is not there or belongs)/,
    part,
  ],
  [
    /^bucket\/(backup-files|read-items)\.ts$/,
    /^it (is|has)/,
    "backup-damaged: behind `the file … cannot be read: `",
  ],
  [/^bucket\/tar-codec\.ts$/, /^/, "backup-damaged: behind `not a tar archive: `"],
  [
    /^backup\/fail-backup\.ts$/,
    /^the Backup has failed/,
    "of DataUploads that are cancelled with their Backup, whose own reason follows",
  ],
  [/^backup\/volume-plan\.ts$/, /^(skipped due|no snapshots)/, noFailure],
  [
    /^backup\/volume-policy\.ts$/,
    /^/,
    "resource-policy: behind `fail to read the ResourcePolicies`",
  ],
  [/^backup\/start-backup\.ts$/, /^ of hook …$/, part],
];

/** Why a text is not looked for; undefined when nobody has decided. */
export function handled(file: string, text: string): string | undefined {
  return rules.find(([place, pattern]) => place.test(file) && pattern.test(text))?.[2];
}

/** Rules that nothing needs any more. */
export function idleRules(
  found: readonly { readonly file: string; readonly text: string }[],
): string[] {
  return rules
    .filter(
      ([place, pattern]) => !found.some(({ file, text }) => place.test(file) && pattern.test(text)),
    )
    .map(([place, pattern]) => `${place} ${pattern}`);
}

/** Codes that are no problem of an object. */
export const harmlessCodes: Readonly<Record<string, string>> = {
  DM_WHY_KIND_UNKNOWN: "an argument of dm why",
};
