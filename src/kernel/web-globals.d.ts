// es2023 alone knows no encoders; both exist in every runtime we run on (Node, browsers, workers).
declare class TextEncoder {
  encode(text: string): Uint8Array;
}
declare class TextDecoder {
  constructor(label?: string, options?: { fatal?: boolean; ignoreBOM?: boolean });
  decode(bytes: Uint8Array): string;
}

// Node 20 has it; the library of es2023 does not say so.
interface String {
  isWellFormed(): boolean;
}
