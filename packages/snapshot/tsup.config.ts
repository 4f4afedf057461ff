import { library } from "../../tsup.base.ts";

/** The worker is an entry of its own: a thread loads it as a file beside the module that starts it. */
export default library({
  index: "src/index.ts",
  node: "src/node/index.ts",
  "data-plane-worker": "src/node/data-plane/worker.ts",
});
