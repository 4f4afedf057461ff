import { library } from "../../tsup.base.ts";

export default library({
  index: "src/index.ts",
  client: "src/client/index.ts",
  sealing: "src/sealing.ts",
});
