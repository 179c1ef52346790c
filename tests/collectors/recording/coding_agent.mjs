// A coding agent, run once without a terminal: a question, a call of its shell, the answer. With `traces` as a second
// argument its tracing is on as well. Of the caller's environment it gets the search path alone, and a home of its own.
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const [agent, traces] = process.argv.slice(2);
const { RECORDER_AGENTS: api, RECORDER_OTLP: otlp, PATH } = process.env;
const home = join(process.cwd(), "user");
const work = join(process.cwd(), "shop");
const packages = join(dirname(fileURLToPath(import.meta.url)), "node_modules");
const prompt = "What is the capital of France?";
mkdirSync(work);

function settings(path, text) {
  mkdirSync(dirname(join(home, path)), { recursive: true });
  writeFileSync(join(home, path), text);
  return join(home, path);
}

const AGENTS = {
  claude_code: () => ({
    command: [join(packages, "@anthropic-ai/claude-code-linux-x64/claude")],
    args: ["-p", prompt, "--model", "claude-sonnet-4-5", "--allowedTools", "Bash"],
    env: {
      ANTHROPIC_BASE_URL: api,
      ANTHROPIC_API_KEY: "none",
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
      CLAUDE_CODE_ENABLE_TELEMETRY: "1",
      OTEL_LOGS_EXPORTER: "otlp",
      OTEL_METRICS_EXPORTER: "otlp",
      ...(traces && { CLAUDE_CODE_ENHANCED_TELEMETRY_BETA: "1", OTEL_TRACES_EXPORTER: "otlp" }),
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/protobuf",
      OTEL_EXPORTER_OTLP_ENDPOINT: otlp,
      OTEL_LOG_USER_PROMPTS: "1",
      OTEL_LOG_TOOL_DETAILS: "1",
      OTEL_LOG_TOOL_CONTENT: "1",
      OTEL_LOG_ASSISTANT_RESPONSES: "1",
    },
  }),
  codex: () => {
    const to = (signal) => `{ otlp-http = { endpoint = "${otlp}/v1/${signal}", protocol = "binary" } }`;
    settings(
      ".codex/config.toml",
      `model = "gpt-5.1-codex"
model_provider = "openai-stub"
check_for_update_on_startup = false
[model_providers.openai-stub]
name = "OpenAI"
base_url = "${api}/v1"
wire_api = "responses"
env_key = "STUB_KEY"
[analytics]
enabled = false
[otel]
log_user_prompt = true
exporter = ${to("logs")}
${traces ? `trace_exporter = ${to("traces")}` : ""}
metrics_exporter = "none"
`,
    );
    return {
      command: ["node", join(packages, "@openai/codex/bin/codex.js")],
      args: ["exec", "--skip-git-repo-check", "--sandbox", "danger-full-access", prompt],
      env: { STUB_KEY: "none" },
    };
  },
  gemini_cli: () => {
    const telemetry = { enabled: true, target: "local", otlpEndpoint: otlp, otlpProtocol: "http", logPrompts: true };
    settings(
      ".gemini/settings.json",
      JSON.stringify({
        telemetry: { ...telemetry, traces: Boolean(traces) },
        privacy: { usageStatisticsEnabled: false },
        security: { auth: { selectedType: "gemini-api-key" } },
        general: { enableAutoUpdate: false },
        tools: { core: ["run_shell_command"] },
      }),
    );
    return {
      command: ["node", join(packages, "@google/gemini-cli/bundle/gemini.js")],
      args: ["-p", prompt, "-m", "gemini-2.5-pro", "--approval-mode", "yolo"],
      env: {
        GEMINI_API_KEY: "none",
        GOOGLE_GEMINI_BASE_URL: api,
        GEMINI_CLI_TRUST_WORKSPACE: "true",
        // Its own instructions are long and say nothing of its telemetry.
        GEMINI_SYSTEM_MD: settings("system.md", "Answer in one sentence."),
      },
    };
  },
};

const { command, args, env } = AGENTS[agent]();
mkdirSync(home, { recursive: true });
const ran = spawnSync(command[0], [...command.slice(1), ...args], {
  cwd: work,
  env: { PATH, HOME: home, LANG: "C.UTF-8", TERM: "dumb", ...env },
  stdio: ["ignore", "inherit", "inherit"],
});
if (ran.status !== 0) throw new Error(`${agent} ended with ${ran.status ?? ran.signal ?? ran.error}`);
