// A round against the live API with a client of openapi-fetch, whose types are generated from the served contract.
import createClient from "openapi-fetch";
import type { paths } from "./greenroom";

const { GREENROOM_URL, GREENROOM_API_KEY, RECEIVER } = process.env as Record<string, string>;
const api = createClient<paths>({
  baseUrl: GREENROOM_URL,
  headers: { Authorization: `Bearer ${GREENROOM_API_KEY}` },
});

function expect(what: string, ok: boolean, got: unknown): asserts ok {
  if (!ok) throw new Error(`${what}: ${JSON.stringify(got)}`);
}

async function delivered(id: string, generation: number) {
  for (let i = 0; i < 1200; i++) {
    const { data } = await api.GET("/deliveries/{id}", { params: { path: { id } } });
    if (data?.data.status === "succeeded" && data.data.generation === generation) return data.data;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`delivery ${id} has not succeeded`);
}

const made = await api.POST("/webhooks", { body: { url: RECEIVER, events: ["interview.started", "ping"] } });
expect("create", made.response.status === 201 && made.data !== undefined, made);
const webhook = made.data.data;
expect("secret", /^[0-9a-f]{64}$/.test(webhook.signingSecret), webhook);
const path = { id: webhook.id };

const published = await api.POST("/events", { body: { type: "interview.started", data: { interviewId: "42" } } });
expect("publish", published.response.status === 202, published);

const list = await api.GET("/deliveries", { params: { query: { webhookId: webhook.id, limit: 10 } } });
expect("list", list.data?.data.data.length === 1, list);
const id = list.data.data.data[0].id;
await delivered(id, 0);

const again = await api.POST("/deliveries/{id}/retry", { params: { path: { id } } });
expect("retry", again.response.status === 202, again);
expect("two attempts", (await delivered(id, 1)).attempts.length === 2, again);

const test = await api.POST("/webhooks/{id}/test", { params: { path } });
expect("test", test.data?.data.success === true, test);

const typed = await api.POST("/webhooks/{id}/test", { params: { path }, body: { type: "interview.completed" } });
expect("test with a sample", typed.data?.data.success === true, typed);

const feed = await api.GET("/events", { params: { query: { types: "interview.started", wait: 20 } } });
expect("feed", feed.data?.data.data.length === 1, feed);

const bad = await api.POST("/webhooks", { body: { url: "not a URL", events: ["interview.started"] } });
expect("bad input", bad.response.status === 400 && bad.data === undefined, bad);

const gone = await api.DELETE("/webhooks/{id}", { params: { path } });
expect("delete", gone.response.status === 204, gone);
console.log("round done");
