import { library } from "../../tsup.base.ts";

/** Workers are entries of their own: a thread loads one as a file beside the module that starts it. */
export default library({
  index: "src/index.ts",
  node: "src/node/index.ts",
  velero: "src/velero/index.ts",
  "data-plane-worker": "src/node/data-plane/worker.ts",
  "restore-worker": "src/node/restore/worker.ts",
});
