export type { ExposedVolume, Exposer, RestoreExposer, Step } from "./expose/exposer.ts";
