import { library } from "../../tsup.base.ts";

export default library({
  index: "src/index.ts",
  filesystem: "src/filesystem.ts",
  s3: "src/s3.ts",
  azure: "src/azure.ts",
  gcs: "src/gcs.ts",
  sftp: "src/sftp.ts",
  webdav: "src/webdav.ts",
  rclone: "src/rclone.ts",
  testing: "src/testing.ts",
  "testing/s3": "src/testing/s3.ts",
});
