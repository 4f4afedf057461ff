/**
 * As much of WebAssembly's binary format as the kernels need: instructions as nested calls, functions with named locals, and a
 * module with one memory of its own. Nothing checks types but the engine that compiles the result.
 * Reference: the WebAssembly core specification, version 2, chapter "Binary Format".
 * @module
 */

/** Encoded instructions. */
export type Code = readonly number[];

function unsigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return [...bytes, rest];
}

function signed(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest < -64 || rest > 63; rest >>= 7) bytes.push((rest & 0x7f) | 0x80);
  return [...bytes, rest & 0x7f];
}

const vector = (items: readonly Code[]): number[] => [...unsigned(items.length), ...items.flat()];

const binary =
  (...opcode: number[]) =>
  (a: Code, b: Code): Code => [...a, ...b, ...opcode];
/** A load of bytes at an address plus a constant. */
const load =
  (...opcode: number[]) =>
  (address: Code, offset = 0): Code => [...address, ...opcode, 0, ...unsigned(offset)];
const store =
  (...opcode: number[]) =>
  (address: Code, value: Code, offset = 0): Code => [...address, ...value, ...opcode, 0, ...unsigned(offset)];

export const i32 = {
  const: (value: number): Code => [0x41, ...signed(value)],
  load: load(0x28),
  loadByte: load(0x2d),
  store: store(0x36),
  isZero: (a: Code): Code => [...a, 0x45],
  equal: binary(0x46),
  isLess: binary(0x49),
  add: binary(0x6a),
  subtract: binary(0x6b),
  and: binary(0x71),
  or: binary(0x72),
  xor: binary(0x73),
  shiftLeft: binary(0x74),
  shiftRight: binary(0x76),
  rotateLeft: binary(0x77),
  /** Of a word of 64 bits, the lower half. */
  wrap: (a: Code): Code => [...a, 0xa7],
};

export const i64 = {
  const: (value: number): Code => [0x42, ...signed(value)],
  load: load(0x29),
  loadByte: load(0x31),
  or: binary(0x84),
  xor: binary(0x85),
  shiftLeft: binary(0x86),
  shiftRight: binary(0x88),
};

/** Vectors of four words of 32 bits. */
export const i32x4 = {
  load: load(0xfd, 0x00),
  store: store(0xfd, 0x0b),
  splat: (a: Code): Code => [...a, 0xfd, 0x11],
  zero: [0xfd, 0x0c, ...new Array<number>(16).fill(0)] as Code,
  equal: binary(0xfd, 0x37),
  minimum: binary(0xfd, 0xb7, 0x01),
  and: binary(0xfd, 0x4e),
  xor: binary(0xfd, 0x51),
  anyTrue: (a: Code): Code => [...a, 0xfd, 0x53],
};

export const block = (...body: Code[]): Code => [0x02, 0x40, ...body.flat(), 0x0b];
export const loop = (...body: Code[]): Code => [0x03, 0x40, ...body.flat(), 0x0b];
export const when = (condition: Code, ...body: Code[]): Code => [...condition, 0x04, 0x40, ...body.flat(), 0x0b];
/** The block or loop so many levels out: to the end of a block, to the beginning of a loop. */
export const branch = (levels: number): Code => [0x0c, ...unsigned(levels)];
export const branchIf = (levels: number, condition: Code): Code => [...condition, 0x0d, ...unsigned(levels)];
export const give = (value: Code): Code => [...value, 0x0f];

const types = { i32: 0x7f, i64: 0x7e, v128: 0x7b };
type ValueType = keyof typeof types;

export interface Local {
  readonly get: Code;
  set(value: Code): Code;
}

/** An exported function of words of 32 bits that gives one. */
export interface FunctionSource {
  readonly name: string;
  readonly parameterCount: number;
  readonly code: Code;
}

/** `body` gets the parameters and the local variables by their names. */
export function defineFunction<Parameter extends string, Variable extends string>(
  name: string,
  parameters: readonly Parameter[],
  variables: Readonly<Record<Variable, ValueType>>,
  body: (locals: Readonly<Record<Parameter | Variable, Local>>) => readonly Code[],
): FunctionSource {
  const names = [...parameters, ...Object.keys(variables)];
  const locals = names.map((local, index): [string, Local] => [
    local,
    {
      get: [0x20, ...unsigned(index)],
      set: (value) => [...value, 0x21, ...unsigned(index)],
    },
  ]);
  const declared = Object.values<ValueType>(variables).map((type) => [1, types[type]]);
  const instructions = body(Object.fromEntries(locals) as Record<Parameter | Variable, Local>);
  const code = [...vector(declared), ...instructions.flat(), 0x0b];
  return { name, parameterCount: parameters.length, code: [...unsigned(code.length), ...code] };
}

const text = (value: string): number[] => [...unsigned(value.length), ...Buffer.from(value)];

/** A module that exports the functions, and its `memory` of so many pages of 64 KiB. */
export function assemble(functions: readonly FunctionSource[], pages: number): Uint8Array {
  const section = (id: number, items: readonly Code[]): Code => {
    const content = vector(items);
    return [id, ...unsigned(content.length), ...content];
  };
  const signatures = functions.map(({ parameterCount }) => [
    0x60,
    ...vector(new Array<Code>(parameterCount).fill([types.i32])),
    ...vector([[types.i32]]),
  ]);
  const exports = functions.map(({ name }, index) => [...text(name), 0, ...unsigned(index)]);
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, signatures),
    ...section(3, functions.map((_, index) => unsigned(index))),
    ...section(5, [[1, ...unsigned(pages), ...unsigned(pages)]]),
    ...section(7, [...exports, [...text("memory"), 2, 0]]),
    ...section(10, functions.map(({ code }) => code)),
  ]);
}
