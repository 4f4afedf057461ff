import { library } from "../../tsup.base.ts";

export default library({
  index: "src/index.ts",
  runtime: "src/runtime/index.ts",
  mover: "src/mover/index.ts",
  why: "src/why/index.ts",
});
