/**
 * Percent-encoding of URLs, where every byte counts because it is signed (RFC 3986).
 * Proof: test/s3-signing.test.ts.
 * @module
 */
/** Encodes as signatures want a key or a query to be, before and after signing: all but letters, digits and `-_.~`. */
export const encodeComponent = (text: string): string =>
  encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );

/** A query with its names in order. */
export const encodeQuery = (query: Readonly<Record<string, string>>): string =>
  Object.entries(query)
    .map(([name, value]) => `${encodeComponent(name)}=${encodeComponent(value)}`)
    .sort()
    .join("&");
