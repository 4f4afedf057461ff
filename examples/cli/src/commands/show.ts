/** `dm show`: the bytes of an object, or of a file in a snapshot. */
import type { Command } from "commander";
import type { Session } from "../session.ts";

export function showCommand(parent: Command, session: Session): void {
  parent
    .command("show")
    .alias("cat")
    .description("Show the bytes of an object")
    .argument("<object>", "object id, or the id of a snapshot or directory and a path: <id>/<path>")
    .action(async (objectPath: string) => {
      const { signal } = session;
      const repository = await session.repository();
      // Without a path it is an object: ids of snapshots look alike.
      let id = objectPath;
      if (objectPath.includes("/")) {
        const { entryAt } = await import("../object-path.ts");
        id = (await entryAt(repository, objectPath, signal)).objectId;
      }
      const object = await repository.openObject(id, { signal });
      for await (const piece of object.stream({ signal })) await session.io.out(piece);
    });
}
