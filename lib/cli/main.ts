#!/usr/bin/env node
import { runCommandLine } from './command-line.js'
import type { ExitCode } from './command.js'
import { messageOf } from './error-messages.js'
import { secretInput } from './secret-input.js'

// a database client that the config created may emit an error event without a listener
process.once('uncaughtException', (error) => {
  process.stderr.write(`fastify-users: ${messageOf(error)}\n`)
  exitAfterOutput(1)
})

exitAfterOutput(
  await runCommandLine(process.argv.slice(2), {
    cwd: process.cwd(),
    print: (line) => process.stdout.write(`${line}\n`),
    printError: (line) => process.stderr.write(`${line}\n`),
    ...secretInput(process.stdin, process.stderr)
  })
)

/**
 * Exits after all output is written. It does not wait for an empty event loop, because the config may have opened pools
 * or timers that would keep the process alive.
 */
function exitAfterOutput (code: ExitCode): void {
  process.stdout.write('', () => process.stderr.write('', () => process.exit(code)))
}
