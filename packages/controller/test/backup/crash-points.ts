// Moments at which a server is killed: before and after each of its calls. All of them with DM_FULL=1, otherwise some drawn by DM_SEED.

export interface CrashAt {
  readonly call: number;
  readonly when: "before" | "after";
}

export const seed = Number(process.env["DM_SEED"] ?? Date.now() % 2 ** 31);

export function crashPoints(calls: number, sampled: number): CrashAt[] {
  let state = seed >>> 0;
  const draw = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  const all = Array.from({ length: calls }, (_, index) => index + 1).flatMap((call) => [
    { call, when: "before" } as const,
    { call, when: "after" } as const,
  ]);
  return all
    .map((at) => ({ at, order: draw() }))
    .sort((a, b) => a.order - b.order)
    .slice(0, process.env["DM_FULL"] ? all.length : sampled)
    .map(({ at }) => at);
}
