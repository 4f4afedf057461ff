/**
 * Something that many calls share (a connection, a process): opened by the first of them, and again after it was lost.
 * Proof: test/sftp-faults.test.ts, test/webdav.rclone.test.ts.
 * @module
 */

export interface Reopening<Opened> {
  /**
   * What is open, or is being opened; calls that come together share it, and an opening that failed is not remembered.
   * @throws {TypeError} after `close`
   */
  current(): Promise<Opened>;
  /** Closes what is open, also when it is still being opened. */
  close(): Promise<void>;
}

/** `open` is given what to call when the thing is lost. */
export function reopening<Opened>(
  open: (onLost: () => void) => Promise<Opened>,
  close: (opened: Opened) => void | Promise<void>,
): Reopening<Opened> {
  let current: Promise<Opened> | undefined;
  let closed = false;
  return {
    current() {
      if (current) return current;
      if (closed) throw new TypeError("the store is closed");
      const forget = (): void => {
        if (current === mine) current = undefined;
      };
      const mine: Promise<Opened> = open(forget);
      current = mine;
      mine.catch(forget);
      return mine;
    },
    async close() {
      closed = true;
      const last = current;
      current = undefined;
      await last?.then(close, () => undefined);
    },
  };
}
