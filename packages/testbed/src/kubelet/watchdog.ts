/**
 * Kills what is left of the containers when this process dies, however it dies: a shell that holds the other end of a pipe, is
 * told which process groups there are, and gets to work when the pipe closes.
 * Proof: test/kubelet/watchdog.test.ts.
 * @module
 */
import { spawn } from "node:child_process";
import { once } from "node:events";

export interface Watchdog {
  readonly pid: number;
  add(processGroup: number): void;
  remove(processGroup: number): void;
  /** Kills the groups that are still there. */
  close(): Promise<void>;
}

const program = `
groups=""
while read -r op group; do
  case "$op" in
    +) groups="$groups $group" ;;
    -) rest=""
       for one in $groups; do [ "$one" = "$group" ] || rest="$rest $one"; done
       groups="$rest" ;;
  esac
done
for one in $groups; do kill -s KILL -- "-$one" 2>/dev/null; done
exit 0
`;

export function startWatchdog(): Watchdog {
  // A group of its own: an interrupt typed at the terminal must not end it before its work.
  const child = spawn("/bin/sh", ["-c", program], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
    env: {},
  });
  const exited = once(child, "exit");
  exited.catch(() => {});
  const { stdin } = child;
  // When the shell is gone there is nobody to tell.
  stdin.on("error", () => {});
  // It must not keep the process alive that it watches.
  child.unref();
  (stdin as unknown as { unref?: () => void }).unref?.();
  return {
    pid: child.pid ?? 0,
    add: (group) => void stdin.write(`+ ${group}\n`),
    remove: (group) => void stdin.write(`- ${group}\n`),
    async close() {
      child.ref();
      stdin.end();
      await exited;
    },
  };
}
