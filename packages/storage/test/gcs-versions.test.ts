// An earlier time of a bucket of Google Cloud. The same over fake-gcs-server: test/gcs.fake-gcs-server.test.ts.
import { gcsOn, startFakeGcs } from "./fake-gcs.ts";
import { onFake } from "./object-service.ts";
import { testObjectVersions } from "./object-versions.ts";

testObjectVersions({
  on: onFake(startFakeGcs, gcsOn),
  isSecondPage: ({ url }) => url.searchParams.get("pageToken") === "1",
  knowsGaps: true,
});
