export interface RequestOptions {
  json?: object
  form?: Record<string, string>
  /** A bearer token. */
  token?: string
  /** Sends the cookies of this jar, and stores the cookies of the reply in it. */
  jar?: Jar
}

export interface Answer {
  status: number
  body: Record<string, unknown>
  cookie: string | null
}

/** Cookies by name. This is enough for one site. */
export type Jar = Map<string, string>

/** A client that prints every step and records unexpected results. */
export interface Client {
  /** Sends one request. `target` is the method and the path, `status` the expected status. */
  send(title: string, target: string, status: number, options?: RequestOptions): Promise<Answer>
  /** Runs one step that is not a request. */
  act(title: string, work: () => Promise<unknown>): Promise<void>
  /** Records a difference unless `holds` is true. */
  check(fact: string, holds: boolean): void
  readonly steps: number
  readonly differences: readonly string[]
}

/** Creates a client of the application at `origin`. It prints with `write`. */
export function createClient (origin: string, write: (text: string) => void): Client {
  const differences: string[] = []
  let steps = 0

  function print (line: string): void {
    write(line.replace(/(eyJ[\w-]{12})[\w.-]+/g, '$1…')) // shorten signed tokens
  }

  function begin (title: string): void {
    steps++
    print(`\n${steps}. ${title}`)
  }

  function check (fact: string, holds: boolean): void {
    print(`   ${holds ? 'ok' : 'DIFFERS'}: ${fact}`)
    if (!holds) differences.push(`step ${steps}: ${fact}`)
  }

  return {
    check,
    differences,
    get steps () {
      return steps
    },

    async act (title, work) {
      begin(title)
      await work()
    },

    async send (title, target, status, { json, form, token, jar } = {}) {
      begin(title)
      const [method = '', path = ''] = target.split(' ')
      const body = json === undefined ? form && formOf(form) : JSON.stringify(json)
      const headers = {
        ...(json === undefined ? {} : { 'content-type': 'application/json' }),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(jar === undefined || jar.size === 0 ? {} : { cookie: [...jar].map((pair) => pair.join('=')).join('; ') })
      }
      print(`   > ${target}`)
      for (const [name, value] of Object.entries(headers)) print(`   > ${name}: ${value}`)
      if (form !== undefined) print('   > content-type: multipart/form-data')
      if (body !== undefined) print(`   > ${JSON.stringify(json ?? form)}`)

      const reply = await fetch(origin + path, { method, headers, ...(body === undefined ? {} : { body }) })
      const text = await reply.text()
      const cookie = reply.headers.get('set-cookie')
      if (cookie !== null) keep(jar, cookie)
      print(`   < ${reply.status}`)
      if (cookie !== null) print(`   < set-cookie: ${cookie}`)
      if (text !== '') print(`   < ${text}`)
      check(`status ${status}`, reply.status === status)
      return { status: reply.status, body: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>), cookie }
    }
  }
}

/** Creates form data, which `fetch` sends as multipart/form-data. */
function formOf (fields: Record<string, string>): FormData {
  const form = new FormData()
  for (const [name, value] of Object.entries(fields)) form.set(name, value)
  return form
}

function keep (jar: Jar | undefined, header: string): void {
  const [pair = ''] = header.split(';')
  const [name = '', value = ''] = pair.split('=')
  if (/max-age=0/i.test(header)) jar?.delete(name)
  else jar?.set(name, value)
}
