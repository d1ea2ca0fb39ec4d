import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { startNginx } from './nginx.js'

export interface ClusterOptions {
  /** Number of processes. */
  size: number
  /** Where nginx listens: an IP address with a port, or `unix:` with a path. */
  listen: string
  /** Folder for the files of nginx. */
  folder: string
  /** Environment of the processes, with the variables of `readSettings`. */
  environment: NodeJS.ProcessEnv
}

/** Processes of the application behind nginx. */
export interface Cluster {
  /** The processes in their order. */
  readonly members: readonly Member[]
  /** Replaces one process after the other. No request fails. */
  restart(): Promise<void>
  stop(): Promise<void>
}

export interface Member {
  readonly port: number
  readonly process: ChildProcess
}

/** Starts the processes, and nginx in front of them. */
export async function startCluster ({ size, listen, folder, environment }: ClusterOptions): Promise<Cluster> {
  const start = (): Promise<Member> => startMember(environment)
  const members = await Promise.all(Array.from({ length: size }, start))
  const nginx = await startNginx(folder, listen, portsOf(members))
  return {
    members,
    async restart () {
      for (const [index, old] of members.entries()) {
        members[index] = await start()
        await nginx.setPorts(portsOf(members)) // resolves when the old process has no request left
        await stopMember(old)
      }
    },
    async stop () {
      await nginx.stop()
      await Promise.all(members.map(stopMember))
    }
  }
}

function portsOf (members: readonly Member[]): number[] {
  return members.map(({ port }) => port)
}

/** Starts a process. Resolves when it accepts requests. */
async function startMember (environment: NodeJS.ProcessEnv): Promise<Member> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'server.js')], {
    env: { ...environment, PORT: '0', DRAIN_SECONDS: '0' },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc']
  })
  const failed = once(child, 'exit').then(([code]) => {
    throw new Error(`the process ended with ${String(code)}`)
  })
  const [{ port }] = (await Promise.race([once(child, 'message'), failed])) as [{ port: number }]
  failed.catch(() => {}) // from now on the end of the process is expected
  return { port, process: child }
}

async function stopMember ({ process: child }: Member): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, 'exit')
  child.kill('SIGTERM')
  await exit
}
