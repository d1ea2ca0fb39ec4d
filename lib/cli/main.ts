#!/usr/bin/env node
import { messageOf } from './arguments.js'
import { runCommandLine } from './command-line.js'
import type { ExitCode } from './command.js'
import { secretInput } from './secret-input.js'

// a client that the config made may fail by an event that nobody hears
process.once('uncaughtException', (error) => {
  process.stderr.write(`fastify-users: ${messageOf(error)}\n`)
  end(1)
})

end(
  await runCommandLine(process.argv.slice(2), {
    cwd: process.cwd(),
    print: (line) => process.stdout.write(`${line}\n`),
    complain: (line) => process.stderr.write(`${line}\n`),
    ...secretInput(process.stdin, process.stderr)
  })
)

/** The config may have opened pools or timers that would keep the process alive; first all is written. */
function end (code: ExitCode): void {
  process.stdout.write('', () => process.stderr.write('', () => process.exit(code)))
}
