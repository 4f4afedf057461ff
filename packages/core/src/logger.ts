/**
 * The logger that libraries accept. Constant message, variable fields; never a secret, and no file name above `debug`.
 * @module
 */
export type LogFields = Readonly<Record<string, unknown>>;

/** Where libraries report what happens; called synchronously, and must not throw. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

const nothing = (): void => {};

/** The default: says nothing. */
export const silentLogger: Logger = {
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
};
