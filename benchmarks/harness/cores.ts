import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'

/** The cores that processes are pinned to. Null: they are not pinned. */
export interface Cores {
  server: number
  client: number
}

/** Chooses the cores, and pins this process to that of the client. Returns null without `taskset` or a second core. */
export function chooseCores (): Cores | null {
  const server = cpus().length - 1
  if (server < 1) return null
  const { status } = spawnSync('taskset', ['-cp', '0', String(process.pid)], { stdio: 'ignore' })
  return status === 0 ? { server, client: 0 } : null
}

/** Returns the program and the first arguments that start Node.js on a core. */
export function nodeOn (core: number | undefined): { execPath: string; execArgv: string[] } {
  if (core === undefined) return { execPath: process.execPath, execArgv: [] }
  return { execPath: 'taskset', execArgv: ['-c', String(core), process.execPath] }
}

/** Processor time of a core since the start of the machine, in microseconds. */
export interface CoreTime {
  busy: number
  /** Time that the hypervisor gave to other machines. */
  stolen: number
}

const TICK = 10_000 // USER_HZ is 100 on Linux

/** Returns the times of a core, or null on other systems than Linux. */
export function readCoreTime (core: number): CoreTime | null {
  try {
    const line = new RegExp(`^cpu${core} (.+)$`, 'm').exec(readFileSync('/proc/stat', 'latin1'))?.[1]
    if (line === undefined) return null
    const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = line.split(' ').map(Number)
    return { busy: (user + nice + system + irq + softirq) * TICK, stolen: steal * TICK }
  } catch {
    return null
  }
}
