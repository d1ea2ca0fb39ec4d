import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** A running nginx that distributes requests to the processes of the application. */
export interface Nginx {
  /** Sends new requests to these ports only. Resolves when no request to other ports is left. */
  setPorts(ports: readonly number[]): Promise<void>
  /** Finishes the requests that were accepted, and ends. */
  stop(): Promise<void>
}

/** Returns the configuration. `listen` is an IP address with a port, or `unix:` with a path. */
function configure (folder: string, listen: string, ports: readonly number[]): string {
  return `daemon off;
pid ${folder}/nginx.pid;
error_log stderr error;
worker_processes 1;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  upstream application {
${ports.map((port) => `    server 127.0.0.1:${port};`).join('\n')}
    keepalive 32;
    keepalive_timeout 60s;
  }
  server {
    listen ${listen};
    client_max_body_size 1m;
    location / {
      proxy_pass http://application;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      # the values that a client sends are replaced
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_connect_timeout 2s;
    }
    # for the balancer and the monitoring, not for the public
    location /health/ { return 404; }
  }
}
`
}

/** Starts nginx with its files in a folder. */
export async function startNginx (folder: string, listen: string, ports: readonly number[]): Promise<Nginx> {
  chmodSync(folder, 0o755) // workers run as another user if nginx is started by root
  const file = join(folder, 'nginx.conf')
  const write = (to: readonly number[]): void => {
    writeFileSync(file, configure(folder, listen, to))
  }
  write(ports)
  const master = spawn('nginx', ['-p', folder, '-c', file], { stdio: ['ignore', 'ignore', 'inherit'] })
  await waitFor(master, () => workersOf(master).length > 0)
  return {
    async setPorts (to) {
      const old = workersOf(master)
      write(to)
      master.kill('SIGHUP') // new workers start, and old workers finish their requests
      await waitFor(master, () => {
        const now = workersOf(master)
        return now.length > 0 && !old.some((pid) => now.includes(pid))
      })
    },
    async stop () {
      if (master.exitCode !== null || master.signalCode !== null) return
      const exit = once(master, 'exit')
      master.kill('SIGQUIT')
      await exit
    }
  }
}

/** Returns the process ids of the workers. */
function workersOf ({ pid }: ChildProcess): string[] {
  if (pid === undefined) return []
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean)
  } catch {
    return []
  }
}

async function waitFor (master: ChildProcess, condition: () => boolean): Promise<void> {
  let failure: Error | null = null
  master.once('error', (error) => {
    failure = error
  })
  while (!condition()) {
    if (failure !== null) throw failure
    if (master.exitCode !== null) throw new Error('nginx ended')
    await sleep(20)
  }
}
