/**
 * Places that this process has just taken and its caches do not show yet. Without them, two decisions in a row would both see the
 * last free place.
 * Proof: test/node-agent/reservations.test.ts.
 * @module
 */

/** `starting`: a data path on this node. `exposing`: a place in the cluster's prepare queue. */
export type ReservationKind = "starting" | "exposing";

export interface Reservations {
  add(kind: ReservationKind, uid: string): void;
  remove(kind: ReservationKind, uid: string): void;
  /** Those held; `isSeen` tells whether the caches show one now, which ends its reservation. */
  held(kind: ReservationKind, isSeen: (uid: string) => boolean): ReadonlySet<string>;
}

export function createReservations(): Reservations {
  const places: Record<ReservationKind, Set<string>> = {
    starting: new Set(),
    exposing: new Set(),
  };
  return {
    add(kind, uid) {
      places[kind].add(uid);
    },
    remove(kind, uid) {
      places[kind].delete(uid);
    },
    held(kind, isSeen) {
      for (const uid of places[kind]) if (isSeen(uid)) places[kind].delete(uid);
      return places[kind];
    },
  };
}
