/**
 * Quantities of Kubernetes, as sizes of volumes: `10Gi`, `1.5G`, `123456789`, `1e3`.
 * Proof: test/quantity.test.ts.
 * @module
 */

/** Powers of ten of the decimal suffixes. */
const decimalExponent: Readonly<Record<string, number>> = {
  n: -9,
  u: -6,
  m: -3,
  "": 0,
  k: 3,
  M: 6,
  G: 9,
  T: 12,
  P: 15,
  E: 18,
};
const binarySuffixes = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const decimalSuffixes = ["", "k", "M", "G", "T", "P", "E"];
const shape = /^([+-]?)(\d+(?:\.\d*)?|\.\d+)([KMGTPE]i|[numkMGTPE]?|[eE][+-]?\d{1,3})$/;

/**
 * The bytes that a quantity stands for, fractions rounded away from zero as Kubernetes does; undefined when it is none.
 * @example parseQuantity("10Gi"); // 10737418240n
 */
export function parseQuantity(text: string): bigint | undefined {
  const match = shape.exec(text);
  if (!match) return undefined;
  const [, sign, number = "", suffix = ""] = match;
  const [whole = "", fraction = ""] = number.split(".");
  const digits = BigInt(whole + fraction);
  const binary = binarySuffixes.indexOf(suffix, 1);
  const exponent = binary > 0 ? 0 : (decimalExponent[suffix] ?? Number(suffix.slice(1)));
  const tens = exponent - fraction.length;
  const unit = binary > 0 ? 1024n ** BigInt(binary) : 1n;
  const scaled = digits * unit * (tens > 0 ? 10n ** BigInt(tens) : 1n);
  const divisor = tens < 0 ? 10n ** BigInt(-tens) : 1n;
  const rounded = (scaled + divisor - 1n) / divisor;
  return sign === "-" ? -rounded : rounded;
}

/**
 * Bytes in the form that Kubernetes gives to sizes of volumes: the largest binary suffix that leaves no fraction, below 1024 the
 * largest decimal one.
 * @example formatQuantity(10737418240n); // "10Gi"
 */
export function formatQuantity(bytes: bigint | number): string {
  let rest = BigInt(bytes);
  const [base, suffixes] =
    rest > -1024n && rest < 1024n
      ? ([1000n, decimalSuffixes] as const)
      : ([1024n, binarySuffixes] as const);
  let index = 0;
  while (rest !== 0n && rest % base === 0n && index < suffixes.length - 1) {
    rest /= base;
    index++;
  }
  return `${rest}${suffixes[index] ?? ""}`;
}
