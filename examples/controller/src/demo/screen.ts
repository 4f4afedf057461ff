/**
 * What the demo prints: numbered steps, bars on a terminal, lines elsewhere.
 * Proof: test/screen.test.ts.
 * @module
 */
import { MultiBar, Presets, type SingleBar } from "cli-progress";

export interface Bar {
  update(bytesDone: number, totalBytes: number, note: string): void;
}

export interface Screen {
  step(text: string): void;
  say(text: string): void;
  /** Bars until `work` is done; elsewhere a line for every change of the note. */
  bars<T>(
    names: readonly string[],
    work: (bars: ReadonlyMap<string, Bar>) => Promise<T>,
  ): Promise<T>;
}

const mib = (bytes: number): string => `${(bytes / (1 << 20)).toFixed(1)} MiB`;

export function createScreen(write: (text: string) => void, isTerminal: boolean): Screen {
  let steps = 0;
  const say = (text: string): void => {
    for (const line of text.split("\n")) write(`   ${line}\n`);
  };
  return {
    step(text) {
      steps += 1;
      write(`\n${steps}. ${text}\n`);
    },
    say,
    async bars(names, work) {
      const width = Math.max(...names.map((name) => name.length));
      if (!isTerminal) return work(new Map(names.map((name) => [name, lineBar(name, width, say)])));
      const multi = new MultiBar(
        { format: "   {name} [{bar}] {moved} of {whole}  {note}", hideCursor: true },
        Presets.legacy,
      );
      const shown = (name: string): SingleBar =>
        multi.create(1, 0, { name: name.padEnd(width), moved: mib(0), whole: "?", note: "" });
      const bars = new Map(names.map((name) => [name, terminalBar(shown(name))]));
      try {
        return await work(bars);
      } finally {
        multi.stop();
      }
    },
  };
}

function terminalBar(bar: SingleBar): Bar {
  return {
    update(bytesDone, totalBytes, note) {
      bar.setTotal(Math.max(totalBytes, 1));
      bar.update(bytesDone, { moved: mib(bytesDone), whole: mib(totalBytes), note });
    },
  };
}

function lineBar(name: string, width: number, say: (text: string) => void): Bar {
  let last = "";
  return {
    update(bytesDone, totalBytes, note) {
      if (note === last) return;
      last = note;
      say(`${name.padEnd(width)}  ${mib(bytesDone)} of ${mib(totalBytes)}  ${note}`);
    },
  };
}
