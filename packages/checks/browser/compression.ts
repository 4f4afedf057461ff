/** Every compressor reads what kopia wrote, also loosely formed streams, refuses damage, and reads what it wrote itself. */
import { compress, decompress } from "@dm/compression";
import { fromBase64 } from "@dm/core";
import { generate } from "../../fixtures/src/generate.ts";
import { type Json, type Outcome, Report, type Source, sha256Hex } from "./outcome.ts";

const lz4HeaderId = 0x1400;
const maxBytes = 16 << 20;

export async function check(source: Source): Promise<Outcome> {
  const report = new Report();
  const { compressors, inputs, unknownHeaders } = await source.json("/vectors/compression");
  const plain = (name: string): Uint8Array => {
    const input = inputs[name];
    return input.generator ? generate(input.generator) : fromBase64(input.base64);
  };
  for (const { name, headerID, samples, lenient, mustFail } of compressors) {
    if (Number(headerID) === lz4HeaderId) {
      const stored = Uint8Array.of(0, 0, lz4HeaderId >> 8, lz4HeaderId & 0xff, 0, 0, 0, 0);
      await report.refuses(() => decompress(stored, { maxBytes }), name);
      continue;
    }
    for (const { base64, input } of samples) {
      await decodes(report, base64, inputs[input], `${name} of ${input}`);
      await report.accepts(async () => {
        const again = decompress(compress(name, plain(input)), { maxBytes });
        report.equal(
          await sha256Hex(again),
          inputs[input].sha256,
          `${name} of ${input}, there and back`,
        );
      }, `${name} of ${input}, there and back`);
    }
    for (const { base64, what, decodesTo } of lenient ?? [])
      await decodes(report, base64, decodesTo, `${name}: ${what}`);
    for (const { base64, what } of mustFail ?? []) {
      await report.refuses(() => decompress(fromBase64(base64), { maxBytes }), `${name}: ${what}`);
    }
  }
  for (const { base64 } of unknownHeaders) {
    await report.refuses(
      () => decompress(fromBase64(base64), { maxBytes }),
      `unknown header ${base64}`,
    );
  }
  return report.outcome;
}

async function decodes(
  report: Report,
  base64: string,
  expected: Json,
  what: string,
): Promise<void> {
  await report.accepts(async () => {
    const bytes = decompress(fromBase64(base64), { maxBytes });
    report.equal(await sha256Hex(bytes), expected.sha256, what);
  }, what);
}
