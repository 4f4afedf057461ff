import { library } from "../../tsup.base.ts";

export default library({
  index: "src/index.ts",
  filesystem: "src/filesystem.ts",
  testing: "src/testing.ts",
});
