export {
  defaultSplitterAlgorithm,
  type SplitterAlgorithm,
  type SplitterDescription,
  type SplitterFamily,
  splitterAlgorithms,
  splitterDescription,
} from "./registry.ts";
export {
  type CreateSplitterOptions,
  createSplitter,
  describeSplitters,
  type Splitter,
  type SplitterBackends,
} from "./splitter.ts";
