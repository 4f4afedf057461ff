/**
 * Progress of long work: a bar on a terminal, nothing in a pipe.
 * @module
 */
import type { SingleBar } from "cli-progress";
import type { Session } from "./session.ts";

export class Progress implements Disposable {
  readonly #bar: SingleBar | undefined;
  #started = false;
  #ended = false;

  private constructor(bar: SingleBar | undefined) {
    this.#bar = bar;
  }

  /** The bar appears with the first update; `unit` names what is counted. */
  static async open(session: Session, unit: string): Promise<Progress> {
    if (!session.showProgress) return new Progress(undefined);
    const { default: cliProgress } = await import("cli-progress");
    return new Progress(
      new cliProgress.SingleBar({
        format: `{bar} {percentage}% {value}/{total} ${unit}, {eta_formatted} left`,
        barCompleteChar: "█",
        barIncompleteChar: "░",
        stream: process.stderr,
        hideCursor: true,
        clearOnComplete: true,
      }),
    );
  }

  update(done: number, total: number): void {
    if (!this.#bar || this.#ended) return;
    if (!this.#started) this.#bar.start(total, done);
    else this.#bar.update(done);
    this.#started = true;
  }

  end(): void {
    if (this.#started && !this.#ended) this.#bar?.stop();
    // A bar that is started again would draw, and keep the process, for ever.
    this.#ended = true;
  }

  [Symbol.dispose](): void {
    this.end();
  }
}
