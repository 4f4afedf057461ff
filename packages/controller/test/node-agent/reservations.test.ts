/** A place is held from the decision until the caches show what came of it. */
import { expect, it } from "vitest";
import { createReservations } from "../../src/node-agent/reservations.ts";

it("holds until seen", () => {
  const reservations = createReservations();
  reservations.add("starting", "u1");
  reservations.add("starting", "u2");
  reservations.add("exposing", "u1");
  expect([...reservations.held("starting", () => false)]).toEqual(["u1", "u2"]);
  expect([...reservations.held("starting", (uid) => uid === "u1")]).toEqual(["u2"]);
  reservations.remove("starting", "u2");
  expect(reservations.held("starting", () => false).size).toBe(0);
  expect(reservations.held("exposing", () => false).size).toBe(1);
});
