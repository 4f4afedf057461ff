/**
 * Progress of long work: a bar on a terminal, nothing in a pipe.
 * @module
 */
import cliProgress from "cli-progress";
import type { Session } from "./session.ts";

export class Progress {
  readonly #bar: cliProgress.SingleBar | undefined;
  #started = false;

  constructor(session: Session, unit: string) {
    if (!session.showProgress) return;
    this.#bar = new cliProgress.SingleBar({
      format: `{bar} {percentage}% {value}/{total} ${unit}, {eta_formatted} left`,
      stream: process.stderr,
      hideCursor: true,
      clearOnComplete: true,
    });
  }

  update(done: number, total: number): void {
    if (!this.#bar) return;
    if (!this.#started) this.#bar.start(total, done);
    else this.#bar.update(done);
    this.#started = true;
  }

  end(): void {
    if (this.#started) this.#bar?.stop();
  }
}
