// The Vercel AI SDK's telemetry: generateText, streamText, a tool in two steps, an object, an embedding, an error.
import { createOpenAI } from "@ai-sdk/openai";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, NodeTracerProvider } from "@opentelemetry/sdk-trace-node";
import * as ai from "ai";
import { z } from "zod";

const exporter = new OTLPTraceExporter({ url: `${process.env.RECORDER_OTLP}/v1/traces` });
const provider = new NodeTracerProvider({
  resource: resourceFromAttributes({ "service.name": "recorder", "service.version": "1.0" }),
  spanProcessors: [new BatchSpanProcessor(exporter)],
});
provider.register();

const openai = createOpenAI({ baseURL: process.env.RECORDER_OPENAI, apiKey: "none" });
const metadata = { sessionId: "session-7", userId: "user-3", tags: ["recorded"] };
const experimental_telemetry = { isEnabled: true, functionId: "recorded", metadata };
const system = "Answer in one sentence.";
const prompt = "What is the capital of France?";
const common = { model: openai.chat("gpt-4o"), system, prompt, maxRetries: 0, experimental_telemetry };

await ai.generateText({ ...common, temperature: 0.5 });
const streamed = ai.streamText(common);
for await (const _ of streamed.textStream);
const get_weather = ai.tool({
  description: "The weather of a city.",
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => `21 degrees in ${city}`,
});
await ai.generateText({ ...common, tools: { get_weather }, stopWhen: ai.stepCountIs(3) });
await ai.embed({
  model: openai.embedding("text-embedding-3-small"),
  value: prompt,
  maxRetries: 0,
  experimental_telemetry,
});
let failed = false;
try {
  await ai.generateText({ ...common, model: openai.chat("broken") });
} catch {
  failed = true;
}
if (!failed) throw new Error("the stub did not fail");
await provider.shutdown();
