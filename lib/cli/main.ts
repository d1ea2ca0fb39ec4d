#!/usr/bin/env node
import { runCommandLine } from './command-line.js'

const code = await runCommandLine(process.argv.slice(2), {
  cwd: process.cwd(),
  print: (line) => process.stdout.write(`${line}\n`),
  complain: (line) => process.stderr.write(`${line}\n`)
})

// the config may have opened pools or timers that would keep the process alive; first all is written
process.stdout.write('', () => process.stderr.write('', () => process.exit(code)))
