/** Every keyed hash, every recorded key and length, by our own kernels; refused key lengths are refused. */
import { fromHex, toHex } from "@dm/core";
import { createHash, describeHashing } from "@dm/hashing";
import { generate } from "../../fixtures/src/generate.ts";
import { type Outcome, Report, type Source } from "./outcome.ts";

export async function check(source: Source): Promise<Outcome> {
  const { algorithms, input } = await source.json("/vectors/hashing");
  const data = generate(input, input.longest);
  const report = new Report();
  for (const { algorithm, backend, manyBackend, smallBackend } of describeHashing()) {
    const best = /^HMAC-SHA2/.test(algorithm) ? "noble" : "wasm";
    const used = [backend, smallBackend, manyBackend].join();
    report.equal(used, [best, best, best].join(), `back-ends of ${algorithm}`);
  }
  for (const name of Object.keys(algorithms)) {
    for (const { key, keyLen, digests, createError } of algorithms[name].cases) {
      const what = `${name} with a key of ${keyLen} bytes`;
      if (createError !== undefined) {
        await report.refuses(() => createHash(name, fromHex(key)), what);
        continue;
      }
      await report.accepts(() => {
        const hash = createHash(name, fromHex(key));
        const lengths = Object.keys(digests);
        for (const length of lengths) {
          const digest = toHex(hash.digest(data.subarray(0, Number(length))));
          report.equal(digest, digests[length], `${what}, ${length} bytes`);
        }
        const many = hash.digestMany(lengths.map((length) => data.subarray(0, Number(length))));
        for (const [index, length] of lengths.entries()) {
          report.equal(toHex(many[index]!), digests[length], `${what}, ${length} bytes among many`);
        }
      }, what);
    }
  }
  return report.outcome;
}
