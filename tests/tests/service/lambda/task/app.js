// A Lambda handler on Node, which knows nothing of chains: the event says in `do` what it does.
"use strict";

let events = 0;

class Own extends Error {
  constructor(message) {
    super(message);
    this.name = "Own";
  }
}

exports.handler = async (event, context) => {
  events += 1;
  switch (event.do) {
    case "fail":
      throw new Own(event.message);
    case "exit":
      process.exit(event.code);
    case "sleep":
      await new Promise((awake) => setTimeout(awake, event.millis));
      return "awake";
    case "large":
      return "x".repeat(event.len);
    case "tell":
      return {
        request_id: context.awsRequestId,
        left_millis: context.getRemainingTimeInMillis(),
        arn: context.invokedFunctionArn,
        trace: process.env._X_AMZN_TRACE_ID,
        function: context.functionName,
        memory: Number(context.memoryLimitInMB),
        version: context.functionVersion,
        folder: process.cwd(),
        count: events,
      };
    default:
      return event;
  }
};

if (globalThis.awslambda !== undefined) {
  exports.streamed = globalThis.awslambda.streamifyResponse(async (event, reply) => {
    const stream = globalThis.awslambda.HttpResponseStream.from(reply, {
      statusCode: event.status,
      headers: { "content-type": "text/x-own" },
    });
    for (let piece = 0; piece < event.pieces; piece += 1) {
      stream.write("x".repeat(event.len));
    }
    stream.end();
  });
}
