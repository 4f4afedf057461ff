/**
 * A small database behind HTTP that keeps what it is given in memory until it is told to write it out, as databases do: whoever
 * backs up its file without the hooks `freeze` and `thaw` misses rows.
 * Proof: test/demo-pod.test.ts.
 * @module
 */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { DatabaseSync } from "node:sqlite";
import { text } from "node:stream/consumers";

export interface DatabaseServerOptions {
  /** The file; made when it is missing. */
  readonly path: string;
  readonly host: string;
  /** 0 for any that is free. */
  readonly port: number;
  /** Of those who may ask and tell. */
  readonly password: string;
}

/** What `GET /contents` answers. */
export interface DatabaseContents {
  readonly rows: number;
  /** Over the texts of all rows in order, each with a line break. */
  readonly sha256: string;
  /** Rows that are in memory alone. */
  readonly unsaved: number;
  readonly frozen: boolean;
  /** How often it was frozen since it runs. */
  readonly freezes: number;
}

export interface DatabaseServer {
  readonly url: string;
  /** Writes out what is in memory. */
  close(): Promise<void>;
}

export async function startDatabaseServer(options: DatabaseServerOptions): Promise<DatabaseServer> {
  const { host, password, path, port } = options;
  const unsaved: string[] = [];
  let file: DatabaseSync | undefined = openFile(path);
  let freezes = 0;

  const save = (database: DatabaseSync): void => {
    const insert = database.prepare("INSERT INTO entries (text) VALUES (?)");
    database.exec("BEGIN");
    for (const row of unsaved) insert.run(row);
    database.exec("COMMIT");
    unsaved.length = 0;
  };
  const contents = (): DatabaseContents => {
    const hash = createHash("sha256");
    let rows = 0;
    const add = (row: string): void => {
      hash.update(`${row}\n`);
      rows += 1;
    };
    const saved = file ?? openFile(path);
    for (const row of saved.prepare("SELECT text FROM entries ORDER BY id").iterate())
      add(String(row["text"]));
    if (saved !== file) saved.close();
    for (const row of unsaved) add(row);
    const frozen = file === undefined;
    return { rows, sha256: hash.digest("hex"), unsaved: unsaved.length, frozen, freezes };
  };

  const answers: Record<string, (request: IncomingMessage) => unknown> = {
    "GET /contents": contents,
    async "POST /rows"(request) {
      const lines = (await text(request)).split("\n").filter(Boolean);
      if (!file) throw new Refusal(503, "the database is frozen");
      unsaved.push(...lines);
      return { added: lines.length };
    },
    "POST /freeze"() {
      if (file) {
        save(file);
        file.close();
        file = undefined;
        freezes += 1;
      }
      return contents();
    },
    "POST /thaw"() {
      file ??= openFile(path);
      return contents();
    },
  };
  const server = createServer((request, response) => {
    void answer(request, response, answers, password);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
  return {
    url: urlOf(server),
    async close() {
      await new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      });
      file ??= openFile(path);
      save(file);
      file.close();
    },
  };
}

/** Without a log beside the file: what is closed is one file. */
function openFile(path: string): DatabaseSync {
  const database = new DatabaseSync(path);
  database.exec("CREATE TABLE IF NOT EXISTS entries (id INTEGER PRIMARY KEY, text TEXT NOT NULL)");
  return database;
}

class Refusal extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  answers: Record<string, (request: IncomingMessage) => unknown>,
  password: string,
): Promise<void> {
  const key = `${request.method} ${request.url}`;
  try {
    if (key === "GET /healthz") return send(response, 200, "ok");
    if (request.headers.authorization !== `Bearer ${password}`)
      throw new Refusal(401, "that is not the password");
    const one = answers[key];
    if (!one) throw new Refusal(404, `there is no ${key}`);
    send(response, 200, JSON.stringify(await one(request)));
  } catch (error) {
    send(response, error instanceof Refusal ? error.status : 500, (error as Error).message);
  }
}

function send(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, { "Content-Type": "application/json" }).end(body);
}

export function urlOf(server: Server): string {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server does not run");
  return `http://${address.address}:${address.port}`;
}

/** Asks or tells a database; the answer's JSON. @throws {Error} with what the database said */
export async function askDatabase(
  url: string,
  password: string,
  method: "GET" | "POST",
  path: string,
  body?: string,
): Promise<DatabaseContents> {
  const response = await fetch(`${url}/${path}`, {
    method,
    headers: { Authorization: `Bearer ${password}` },
    ...(body !== undefined && { body }),
  });
  const said = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${said}`);
  return JSON.parse(said) as DatabaseContents;
}
