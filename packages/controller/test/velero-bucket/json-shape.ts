/** The members of JSON values and their types, so that two files can be compared key by key whatever they say. */

/** Of each member: its path, and the types that it has there. Members of lists are one; those of maps too. */
export type Shape = ReadonlyMap<string, ReadonlySet<string>>;

/** Where the names of members are data, such as labels. */
const maps =
  /(^|\.)(labels|annotations|fieldsV1|namespaces|matchLabels|tags|metadata\.\*|nodeSelector)$/;

export function shapeOf(value: unknown, isMapAtTop = false): Shape {
  const shape = new Map<string, Set<string>>();
  const visit = (one: unknown, path: string, isMap: boolean): void => {
    const types = shape.get(path) ?? new Set();
    shape.set(path, types.add(typeOf(one)));
    if (Array.isArray(one)) for (const each of one) visit(each, `${path}[]`, false);
    else if (typeof one === "object" && one !== null)
      for (const [key, member] of Object.entries(one)) {
        const below = `${path}${path === "" ? "" : "."}${isMap ? "*" : key}`;
        if (isMap && path.endsWith("fieldsV1")) continue;
        visit(member, below, maps.test(below));
      }
  };
  visit(value, "", isMapAtTop);
  return shape;
}

function typeOf(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "list" : typeof value;
}

export interface Differences {
  /** Only Velero has it. */
  readonly missing: readonly string[];
  /** Only we have it. */
  readonly extra: readonly string[];
  /** Both have it, of different types. */
  readonly otherType: readonly string[];
}

export function compareShapes(real: Shape, ours: Shape): Differences {
  const missing = [...real.keys()].filter((path) => !ours.has(path));
  const extra = [...ours.keys()].filter((path) => !real.has(path));
  const otherType = [...real].flatMap(([path, types]) => {
    const own = ours.get(path);
    const isSame = !own || [...own].every((type) => types.has(type));
    return isSame ? [] : [`${path}: ${[...own].join("|")}, not ${[...types].join("|")}`];
  });
  return { missing, extra, otherType };
}

/** Of each object that both have, the members that both have, where they come in another order. */
export function otherOrder(real: unknown, ours: unknown, path = ""): string[] {
  if (typeof real !== "object" || typeof ours !== "object" || !real || !ours) return [];
  if (Array.isArray(real) || Array.isArray(ours)) return [];
  const names = Object.keys(real).filter((name) => name in ours);
  const own = Object.keys(ours).filter((name) => name in real);
  const here = names.join() === own.join() ? [] : [`${path}: ${own.join(" ")}`];
  const member = (value: object, name: string): unknown => (value as Record<string, unknown>)[name];
  return [
    ...here,
    ...names.flatMap((name) =>
      otherOrder(member(real, name), member(ours, name), `${path}.${name}`),
    ),
  ];
}
