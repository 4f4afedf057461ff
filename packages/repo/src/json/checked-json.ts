/**
 * JSON that must have a certain shape. What it was meant to be, and in which blob, is for the caller to add.
 * @module
 */
import { FormatError } from "@dm/core";
import * as z from "zod";
import { parseJson } from "./raw-json.ts";

/** For a schema that is used once or twice: a program made of it costs a hundred times as much as its use. */
export const once = { jitless: true } as const;

/** @throws {FormatError} `DM_JSON_INVALID` when it is no JSON, or not of this shape */
export function parseChecked<Output>(schema: z.ZodType<Output>, text: string): Output {
  const result = schema.safeParse(parseJson(text), once);
  if (result.success) return result.data;
  throw new FormatError("DM_JSON_INVALID", z.prettifyError(result.error), { length: text.length });
}
