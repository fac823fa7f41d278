// What the server says on the wire, as far as the page reads it.

export interface Model {
  id: string;
  max_model_len?: number;
}

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
}

/** A token with its probability; `bytes` is null where the server gives the text alone. */
export interface Candidate {
  token: string;
  logprob: number;
  bytes: number[] | null;
}

export interface TokenInfo extends Candidate {
  /** A token such as the end of a turn, which the text does not show. */
  special: boolean;
  top: Candidate[];
}

/** Where the time of a request went, as the server counts it. */
export interface Bill {
  queue_ms: number;
  prefill_ms: number;
  decode_ms: number;
  prompt_tokens: number;
  cached_tokens: number;
  preemptions: number;
}

/** One step of an answer, the same for chat and for completions. */
export interface Delta {
  content: string;
  reasoning: string;
  tokens: TokenInfo[];
  finish: string | null;
  usage: Usage | null;
  bill: Bill | null;
}

/** The body of an error, with what the page adds of the response. */
export class ApiError extends Error {
  constructor(
    message: string,
    readonly status: number,
    readonly code: string | null,
    readonly retryAfterSeconds: number | null,
  ) {
    super(message);
  }
}

/** The server could not be reached, or went away in the middle of an answer. */
export class ConnectionError extends Error {}
