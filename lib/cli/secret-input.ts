import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import type { Terminal } from './command.js'

const MAX_BYTES = 8192

/** Returns a reader of secrets. It asks without echo on a terminal; otherwise it reads the first line of the pipe. */
export function secretInput (
  input: NodeJS.ReadStream,
  output: NodeJS.WritableStream
): Pick<Terminal, 'interactive' | 'readSecret'> {
  const interactive = input.isTTY === true // isTTY is undefined for a pipe
  return { interactive, readSecret: (question) => (interactive ? ask(input, output, question) : readLine(input)) }
}

/** Asks for a secret. Returns null if the person ends the input with Ctrl-C or Ctrl-D. */
async function ask (input: NodeJS.ReadStream, output: NodeJS.WritableStream, question: string): Promise<string | null> {
  const silent = new Writable({
    write (_chunk, _encoding, done) {
      done()
    }
  })
  const lines = createInterface({ input, output: silent, terminal: true, historySize: 0 })
  const ended = new Promise<null>((resolve) => {
    lines.once('close', () => {
      resolve(null)
    })
  })
  output.write(question)
  try {
    return await Promise.race([lines.question(''), ended])
  } finally {
    lines.close()
    output.write('\n')
  }
}

/** Returns the first line, or null if it is empty. Throws a `TypeError` if it is not UTF-8. */
async function readLine (input: NodeJS.ReadStream): Promise<string | null> {
  const chunks: Buffer[] = []
  let size = 0
  // no encoding is set, so chunks are buffers
  for await (const chunk of input as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    size += chunk.length
    if (chunk.includes('\n') || size > MAX_BYTES) break
  }
  const [line = ''] = new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks)).split(/\r?\n/, 1)
  return line === '' ? null : line
}
