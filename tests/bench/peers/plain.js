// The straightforward Node.js script: the same work as plain.py, as a good developer would write it plainly.
// http + ioredis + amqplib's confirm channel, one request at a time, nothing batched by hand.
"use strict";

const crypto = require("node:crypto");
const http = require("node:http");
const amqp = require("amqplib");
const Redis = require("ioredis");

const { PORT, REDIS_URL, AMQP_URL, SECRET } = process.env;
const EXCHANGE = "events";
const QUEUE = "helpdesk";
const ROUTING_KEY = "v1.telegram.tg.message.received";
const WINDOW_SECS = 604800;
const MAX_BYTES = 1048576;

function authentic(request) {
  const given = Buffer.from(request.headers["x-telegram-bot-api-secret-token"] ?? "");
  const wanted = Buffer.from(SECRET);
  return given.length === wanted.length && crypto.timingSafeEqual(given, wanted);
}

function readBody(request) {
  return new Promise((resolve, reject) => {
    const chunks = [];
    let size = 0;
    request.on("data", (chunk) => {
      size += chunk.length;
      if (size > MAX_BYTES) reject(new Error("body too large"));
      else chunks.push(chunk);
    });
    request.on("end", () => resolve(Buffer.concat(chunks)));
    request.on("error", reject);
  });
}

function toRpc(update, id) {
  const { message } = update;
  return {
    jsonrpc: "2.0",
    method: "message.received",
    params: {
      event_id: id,
      channel: { id: "tg", type: "telegram" },
      conversation: String(message.chat.id),
      sender: { id: String(message.from.id), name: message.from.first_name },
      sent_at: new Date(message.date * 1000).toISOString(),
      received_at: new Date().toISOString(),
      parts: [{ type: "text", text: message.text ?? "" }],
    },
  };
}

function publish(channel, id, body) {
  const options = {
    persistent: true,
    mandatory: true,
    messageId: id,
    type: "message.received",
    contentType: "application/json",
    timestamp: Math.floor(Date.now() / 1000),
  };
  return new Promise((resolve, reject) => {
    channel.publish(EXCHANGE, ROUTING_KEY, body, options, (error) => (error ? reject(error) : resolve()));
  });
}

async function accept(request, redis, channel) {
  if (!authentic(request)) return 401;
  let update, id, rpc;
  try {
    update = JSON.parse(await readBody(request));
    id = crypto.createHash("sha256").update(`tg:${update.update_id}`).digest("hex").slice(0, 32);
    rpc = toRpc(update, id);
  } catch {
    return 400;
  }
  const key = `dedup:${id}`;
  if ((await redis.set(key, "1", "EX", WINDOW_SECS, "NX")) === null) return 200;
  try {
    await publish(channel, id, Buffer.from(JSON.stringify(rpc)));
  } catch (error) {
    console.error(error);
    await redis.del(key);
    return 503;
  }
  return 200;
}

async function main() {
  const redis = new Redis(REDIS_URL);
  const connection = await amqp.connect(AMQP_URL);
  const channel = await connection.createConfirmChannel();
  await channel.assertExchange(EXCHANGE, "topic", { durable: true });
  await channel.assertQueue(QUEUE, { durable: true, arguments: { "x-queue-type": "quorum" } });
  await channel.bindQueue(QUEUE, EXCHANGE, "v1.*.*.message.#");
  const server = http.createServer(async (request, response) => {
    let status = 503;
    try {
      if (request.method !== "POST" || request.url !== "/c/tg") status = 404;
      else status = await accept(request, redis, channel);
    } catch (error) {
      console.error(error);
    }
    response.writeHead(status, { "Content-Length": 0 });
    response.end();
  });
  server.listen(Number(PORT), "127.0.0.1");
}

main();
