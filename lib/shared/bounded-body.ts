/** Returns the body of a reply as text. Rejects if it has more than `maxBytes` bytes, without reading the rest. */
export async function readBoundedText (response: Response, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of response.body ?? []) {
    const bytes = chunk as Uint8Array // the body of a reply is a stream of bytes
    size += bytes.length
    if (size > maxBytes) throw new DOMException(`the reply has more than ${maxBytes} bytes`, 'DataError')
    chunks.push(bytes)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/**
 * Returns a word for the log that says why a request to another server failed, such as `ECONNREFUSED` or
 * `TimeoutError`. Messages and URLs of errors are left out, because they may contain secrets.
 */
export function failureWord (error: unknown): string {
  const { name, code, cause } = (error ?? {}) as { name?: unknown; code?: unknown; cause?: { code?: unknown } }
  const word = [cause?.code, code, name].find((value) => typeof value === 'string' && /^[\w-]{1,40}$/.test(value))
  return word === undefined ? 'unknown' : String(word)
}
