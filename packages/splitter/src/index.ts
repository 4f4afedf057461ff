export {
  defaultSplitterAlgorithm,
  type SplitterAlgorithm,
  type SplitterDescription,
  type SplitterFamily,
  splitterAlgorithms,
  splitterDescription,
} from "./registry.ts";
export { createSplitter, type Splitter } from "./splitter.ts";
