/**
 * Arithmetic in GF(2^8) with the polynomial x^8 + x^4 + x^3 + x^2 + 1 (0x11d) and the generator 2, by logarithms.
 * @module
 */

/** Powers of the generator, twice over, so that a sum of two logarithms needs no reduction. */
export const exponentials = new Uint8Array(510);
/** Logarithms; that of 0 does not exist and is 0 here. */
export const logarithms = new Uint8Array(256);

let power = 1;
for (let exponent = 0; exponent < 255; exponent++) {
  exponentials[exponent] = power;
  exponentials[exponent + 255] = power;
  logarithms[power] = exponent;
  power <<= 1;
  if (power > 255) power ^= 0x11d;
}

/**
 * Coefficients that turn a polynomial's values at `points` into its value at `target` (Lagrange): the value there is
 * the sum of `coefficient[i] * value[i]`. Points are distinct, `target` is none of them.
 */
export function lagrangeCoefficients(points: readonly number[], target: number): Uint8Array {
  let numerator = 0;
  for (const point of points) numerator += logarithms[target ^ point]!;
  return Uint8Array.from(points, (point) => {
    let denominator = logarithms[target ^ point]!;
    for (const other of points) if (other !== point) denominator += logarithms[point ^ other]!;
    return exponentials[(((numerator - denominator) % 255) + 255) % 255]!;
  });
}
