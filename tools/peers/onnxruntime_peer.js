// One work in ONNX Runtime: node onnxruntime_peer.js FOLDER_OF_NPM GRAPHS BATCH SIZE THREADS REPEAT
// (tools/bench_peers runs it.) REPEAT 0: the small case instead, compared with PyTorch's result.
// Prints JSON. The first calls are slow, since memory and copies of the weights are made then; they are not counted.
"use strict";
const fs = require("fs");
const path = require("path");

const WARM_UP = 2;

const [npmFolder, folder, batch, size, threads, repeat] =
  process.argv.slice(2).map((text, i) => (i < 2 ? text : Number(text)));
const ort = require(path.join(npmFolder, "node_modules", "onnxruntime-node"));
const check = JSON.parse(fs.readFileSync(path.join(folder, "check.json")));

function stored({ file, type, shape }) {
  const bytes = fs.readFileSync(file);
  const Numbers = type === "int64" ? BigInt64Array : Float32Array;
  return new ort.Tensor(type, new Numbers(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length)), shape);
}

// Numbers in [-1, 1); whole numbers become 500, which is a time step as well as a token.
function anyNumbers(type, shape) {
  const count = shape.reduce((a, b) => a * b, 1);
  if (type === "int64") return new ort.Tensor(type, new BigInt64Array(count).fill(500n), shape);
  return new ort.Tensor(type, Float32Array.from({ length: count }, (_, i) => ((i * 7919) % 2048) / 1024 - 1), shape);
}

function open(graph, sizes) {
  return ort.InferenceSession.create(graph, {
    graphOptimizationLevel: "all",
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: "sequential",
    freeDimensionOverrides: sizes,
  });
}

// A function that runs a whole network once.
async function network() {
  const inputs = {};
  for (const [name, input] of Object.entries(check.inputs)) {
    const shape = [...input.shape];
    if (repeat > 0 && name !== "ids") {
      shape[0] = batch;
      if (shape.length === 4) shape[2] = shape[3] = size / check.pixels;
    }
    inputs[name] = repeat > 0 ? anyNumbers(input.type, shape) : stored(input);
  }
  const first = inputs.sample ?? inputs.ids;
  const [n, , height, width] = first.dims;
  const session = await open(path.join(folder, "graph.onnx"), inputs.sample ? { batch: n, height, width } : {});
  return async () => (await session.run(inputs)).result;
}

// From token ids to a picture: v-prediction, DDIM, guidance 5, both predictions in one batch.
async function demo() {
  const noise = stored(check.inputs.sample);
  const ids = stored(check.inputs.ids);
  const [, , height, width] = noise.dims;
  const encoder = await open(path.join(folder, "text_encoder", "graph.onnx"), {});
  const unet = await open(path.join(folder, "unet", "graph.onnx"), { batch: 2, height, width });
  const decoder = await open(path.join(folder, "decoder", "graph.onnx"), { batch: 1, height, width });
  return async () => {
    const texts = [(await encoder.run({ ids })).result, (await encoder.run({ ids })).result];
    const [, tokens, dim] = texts[0].dims;
    const context = new ort.Tensor("float32", new Float32Array(2 * tokens * dim), [2, tokens, dim]);
    texts.forEach((text, i) => context.data.set(text.data, i * tokens * dim));
    const x = Float32Array.from(noise.data);
    const twice = new ort.Tensor("float32", new Float32Array(2 * x.length), [2, 4, height, width]);
    for (const [t, p, q] of check.steps) {
      twice.data.set(x, 0);
      twice.data.set(x, x.length);
      const time = new ort.Tensor("int64", BigInt64Array.of(BigInt(t), BigInt(t)), [2]);
      const v = (await unet.run({ sample: twice, t: time, context })).result.data;
      for (let i = 0; i < x.length; ++i) x[i] = p * x[i] + q * (v[i] + 5 * (v[x.length + i] - v[i]));
    }
    const scaled = new ort.Tensor("float32", x.map((value) => value / 0.18215), [1, 4, height, width]);
    return (await decoder.run({ sample: scaled })).result;
  };
}

function difference(result, expected) {
  let most = 0, largest = 0;
  for (let i = 0; i < expected.length; ++i) {
    const here = Math.abs(result[i] - expected[i]);
    most = Number.isNaN(here) ? NaN : Math.max(most, here);
    largest = Math.max(largest, Math.abs(expected[i]));
  }
  return { most, largest };
}

async function main() {
  const run = await (check.steps ? demo() : network());
  const result = await run();
  if (repeat === 0) {
    console.log(JSON.stringify(difference(result.data, stored(check.expected).data)));
    return;
  }
  for (let i = 1; i < WARM_UP; ++i) await run();
  const seconds = [];
  const cpuBegin = process.cpuUsage();
  for (let i = 0; i < repeat; ++i) {
    const begin = process.hrtime.bigint();
    await run();
    seconds.push(Number(process.hrtime.bigint() - begin) / 1e9);
  }
  const cpu = process.cpuUsage(cpuBegin);  // microseconds, of all threads
  const peak = /VmHWM:\s*(\d+)/.exec(fs.readFileSync("/proc/self/status", "utf8"));
  console.log(JSON.stringify({
    seconds, cpu_s: (cpu.user + cpu.system) / 1e6 / repeat, peak_bytes: Number(peak[1]) * 1024 }));
}

main().catch((error) => {
  console.error(String(error.message ?? error).split("\n")[0]);
  process.exit(1);
});
