import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Test } from 'tap'

export interface ChildServer {
  /** The first output of the process, without white space at its ends. */
  readonly greeting: string
  /** Ends the standard input, and resolves when the process has ended. */
  stop(): Promise<void>
}

export interface ChildOptions {
  cwd?: string
  env?: NodeJS.ProcessEnv
  /** Shows the standard error only if the process ends before its first output. */
  quiet?: boolean
}

/** Starts a process that prints something when it is ready, and ends when its standard input ends, or with the test. */
export async function startChild (
  t: Test,
  command: string,
  parameters: readonly string[],
  { quiet = false, ...options }: ChildOptions = {}
): Promise<ChildServer> {
  const child = spawn(command, parameters, { ...options, stdio: ['pipe', 'pipe', 'pipe'] })
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    if (quiet) errors += text
    else process.stderr.write(text)
  })
  const exit = once(child, 'exit')
  const stop = async (): Promise<void> => {
    child.stdin.end()
    await exit
  }
  t.teardown(stop)
  const [greeting] = (await Promise.race([
    once(child.stdout, 'data'),
    exit.then(() => {
      throw new Error(`the process ended: ${errors}`)
    })
  ])) as [Buffer]
  return { greeting: greeting.toString().trim(), stop }
}
