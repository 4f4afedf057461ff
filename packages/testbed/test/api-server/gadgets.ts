/** A custom kind with everything that CRDs of this project use: columns, status, defaults, lists, patterns. */
export const gadgetDefinition = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: "gadgets.example.com" },
  spec: {
    group: "example.com",
    scope: "Namespaced",
    names: { plural: "gadgets", kind: "Gadget", shortNames: ["gd"], categories: ["all"] },
    versions: [
      {
        name: "v1",
        served: true,
        storage: true,
        subresources: { status: {} },
        additionalPrinterColumns: [
          { name: "Mode", type: "string", jsonPath: ".spec.mode" },
          { name: "Size", type: "integer", jsonPath: ".spec.size", priority: 10 },
          {
            name: "Ready",
            type: "string",
            jsonPath: ".status.conditions[?(@.type=='Ready')].status",
          },
          { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" },
        ],
        schema: {
          openAPIV3Schema: {
            type: "object",
            description: "A thing for tests.",
            properties: {
              apiVersion: { type: "string" },
              kind: { type: "string" },
              metadata: { type: "object" },
              spec: {
                type: "object",
                description: "What is wished for.",
                required: ["mode"],
                properties: {
                  mode: { type: "string", enum: ["slow", "fast"], description: "How it works." },
                  size: { type: "integer", minimum: 1, default: 3 },
                  name: { type: "string", pattern: "^[a-z]*$", maxLength: 5 },
                  amount: { "x-kubernetes-int-or-string": true },
                  note: { type: "string", nullable: true },
                  labels: { type: "object", additionalProperties: { type: "string" } },
                  free: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
                  items: {
                    type: "array",
                    maxItems: 2,
                    items: {
                      type: "object",
                      required: ["name"],
                      properties: { name: { type: "string" }, value: { type: "string" } },
                    },
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                  },
                },
              },
              status: {
                type: "object",
                properties: {
                  phase: { type: "string" },
                  conditions: {
                    type: "array",
                    items: {
                      type: "object",
                      properties: { type: { type: "string" }, status: { type: "string" } },
                    },
                  },
                },
              },
            },
          },
        },
      },
    ],
  },
};

export const gadget = (name: string, spec: Record<string, unknown> = { mode: "fast" }) => ({
  apiVersion: "example.com/v1",
  kind: "Gadget",
  metadata: { name, namespace: "default" },
  spec,
});
