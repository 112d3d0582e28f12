// A receiver that takes every delivery once: Node.js 18 or newer, nothing to install.
//
// RECEIVER_SECRET=whsec_… node receiver.mjs          listens on 127.0.0.1:9000, keeps deliveries in deliveries.jsonl

import { createHmac, timingSafeEqual } from "node:crypto";
import { appendFileSync, existsSync, fsyncSync, openSync, readFileSync, truncateSync } from "node:fs";
import { createServer } from "node:http";
import { gunzipSync } from "node:zlib";

const TOLERANCE_S = 300;
const BODY_BYTES_MAX = 16 * 1024 * 1024;
const JOURNAL = "deliveries.jsonl";
const key = Buffer.from(process.env.RECEIVER_SECRET.replace(/^whsec_/, ""), "base64");

/** Whether a holder of the secret signed these very bytes within the last five minutes. */
function verified(headers, body) {
  const sentAt = headers["webhook-timestamp"] ?? "";
  const signed = Buffer.concat([Buffer.from(`${headers["webhook-id"]}.${sentAt}.`), body]);
  const expected = Buffer.from("v1," + createHmac("sha256", key).update(signed).digest("base64"));
  const same = (text) => text.length === expected.length && timingSafeEqual(Buffer.from(text), expected);
  const fresh = /^\d+$/.test(sentAt) && Math.abs(Date.now() / 1000 - Number(sentAt)) <= TOLERANCE_S;
  return fresh && (headers["webhook-signature"] ?? "").split(" ").some(same);
}

/** The ids kept so far. A line that a crash cut short was never answered: it comes again. */
function known(path) {
  if (!existsSync(path)) return new Set();
  const text = readFileSync(path, "utf8");
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  truncateSync(path, Buffer.byteLength(whole));
  return new Set(whole.split("\n").filter(Boolean).map((line) => JSON.parse(line).id));
}

const taken = known(JOURNAL);
const journal = openSync(JOURNAL, "a");

/** Keep the body and its id in one line, on disk, or nothing if the id, or the batch it is a part of, is known. */
function keep(id, parent, body) {
  if (taken.has(id) || taken.has(parent)) return;
  appendFileSync(journal, JSON.stringify({ id, body: body.toString() }) + "\n");
  fsyncSync(journal);
  taken.add(id);
}

/** The body, or null if it is too large. */
async function read(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > BODY_BYTES_MAX) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Answers 2xx only once the events are durable: whatever else it says, they are sent again. */
async function receive(request, response) {
  const body = await read(request);
  if (body === null) return response.writeHead(413, { connection: "close" }).end();
  const headers = request.headers;
  if (!verified(headers, body)) return response.writeHead(401).end();
  // The signature covers the bytes as they travelled.
  keep(headers["webhook-id"], headers["x-trailhook-parent"], headers["content-encoding"] === "gzip" ? gunzipSync(body) : body);
  response.writeHead(204).end();
}

const server = createServer((request, response) => {
  receive(request, response).catch((error) => {
    console.error(error);
    response.writeHead(500).end();
  });
});
server.listen(Number(process.env.RECEIVER_PORT ?? 9000), "127.0.0.1");
