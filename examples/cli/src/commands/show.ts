/** `dm show`: the bytes of an object. */
import type { Command } from "commander";
import type { Session } from "../session.ts";

export function showCommand(parent: Command, session: Session): void {
  parent
    .command("show")
    .alias("cat")
    .description("Show the bytes of an object")
    .argument("<object>", "object id")
    .action(async (id: string) => {
      const repository = await session.repository();
      const object = await repository.openObject(id, { signal: session.signal });
      for await (const piece of object.stream({ signal: session.signal }))
        await session.io.out(piece);
    });
}
