import { chmod, writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { openWorkplace, type Workplace } from './program-fixture.ts'

let work: Workplace
beforeEach(async () => {
  work = await openWorkplace()
})
afterEach(() => work.remove())

describe('usage', () => {
  it.each([
    [],
    ['nonsense'],
    ['run'],
    ['rooms'],
    ['rooms', 'show', '-c', 'x'],
    ['knocks', 'list', '-c', 'x', '--limit', '0'],
    ['run', '-c', 'x', '--nonsense'],
    ['run', '-c'],
    ['knock'],
  ])('wrong usage exits with 2: %j', async (...args) => {
    const write = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
    const { code } = await work.run(...args)
    write.mockRestore()
    expect(code).toBe(2)
  })

  it.each([['--help'], ['--version'], ['rooms', '--help'], ['run', '-h']])('help exits with 0: %j', async (...args) => {
    const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true)
    const { code } = await work.run(...args)
    write.mockRestore()
    expect(code).toBe(0)
  })
})

describe('check-config', () => {
  it('is 0 for a good configuration, and tells where things are', async () => {
    const config = await work.configure()
    const { code, out, err } = await work.run('check-config', '-c', config)
    expect([code, err]).toEqual([0, ''])
    expect(out).toContain('resident.example')
    expect(out).toContain('http://127.0.0.1:0')
    expect(out).toContain(work.at('knock.db'))
  })

  it('warns of a key that others can read', async () => {
    const config = await work.configure()
    await chmod(work.at('signing.key'), 0o644)
    const { code, err } = await work.run('check-config', '-c', config)
    expect([code, err]).toEqual([0, expect.stringContaining(`chmod 600 ${work.at('signing.key')}`)])
  })
})

describe('check-config on lists of servers', () => {
  const told = async (federation: object) => {
    const config = await work.configure({ federation } as never)
    const { code, err } = await work.run('check-config', '-c', config)
    expect(code).toBe(0)
    return err.split('\n').filter((line) => line !== '')
  }

  it.each([
    ['::1', /^warning: .*config\.yaml: federation\.deny_servers\.1: "::1" matches nothing: .*write "\[::1\]"$/],
    ['2001:db8::7', /"2001:db8::7" matches nothing: .*write "\[2001:db8::7\]"$/],
    ['evil.example:99999', /"evil\.example:99999" matches nothing: no port is 99999; write "evil\.example"/],
    ['evil.example:', /"evil\.example:" matches nothing: "" is no port/],
    ['evil.example:*x', /matches nothing: "\*x" is no port/],
    ['https:evil.example', /matches nothing: "evil\.example" is no port/],
    ['999.1.1.1', /"999\.1\.1\.1" matches nothing: that is no name/],
    ['1.2.3', /"1\.2\.3" matches nothing: that is no name/],
    ['[::1', /"\[::1" matches nothing/],
    ['[evil.*]', /"\[evil\.\*\]" matches nothing/],
    ['*.evil.example.', /matches only names that are written with a dot at their end; write "\*\.evil\.example"$/],
  ])('warns of an entry that can match nothing: %s', async (entry, line) => {
    expect(await told({ deny_servers: ['fine.example', entry] })).toEqual([expect.stringMatching(line)])
    expect(await told({ allow_servers: [entry] })).toEqual([
      expect.stringMatching(/^warning: .*config\.yaml: federation\.allow_servers\.0: /),
    ])
  })

  it.each([
    ['friend.example', 'friend.example'],
    ['FRIEND.example.', 'friend.example'],
    ['friend.example:8448', '*.example'],
    ['*.friend.example', '*.example'],
    ['[::1]', '[0:0:0:0:0:0:0:1]'],
    ['friend.example', '*'],
  ])('warns of an allowed entry that is denied: %s by %s', async (allowed, denied) => {
    expect(await told({ allow_servers: ['fine.invalid', allowed], deny_servers: [denied] })).toContainEqual(
      expect.stringMatching(/federation\.allow_servers\.1: ".*" lets nobody in: ".*" in federation\.deny_servers/),
    )
  })

  it('warns of nothing else', async () => {
    const list = [
      'EVIL.example',
      'evil.example.',
      'evil.example:8448',
      'evil.example:08448',
      '*',
      '*.evil.example',
      'e?il*',
    ]
    const addresses = [
      '1.2.3.4',
      '10.*',
      '[::1]',
      '[2001:DB8::*]',
      '[0:0:0:0:0:0:0:1]:80',
      '[::ffff:1.2.3.4]',
      '*:8448',
      '[*',
    ]
    expect(await told({ deny_servers: [...list, ...addresses] })).toEqual([])
    expect(await told({ allow_servers: [...list, ...addresses] })).toEqual([])
    expect(
      await told({ allow_servers: ['*.example', 'a.example'], deny_servers: ['b.example', 'a.example:1'] }),
    ).toEqual([])
  })

  it.each(['https://evil.example', 'evil.example/path', 'evil example', 'user@evil.example', '10.0.0.0/8'])(
    'refuses what no list holds: %s',
    async (entry) => {
      const config = await work.configure({ federation: { deny_servers: [entry] } } as never)
      const { code, err } = await work.run('check-config', '-c', config)
      expect(code).toBe(78)
      expect(err).toContain(`federation.deny_servers.0 is ${JSON.stringify(entry)}; expected a list of server names`)
      expect(err).toContain('without scheme, path or spaces')
    },
  )
})

describe.each(['check-config', 'run'])('%s with a bad configuration', (command) => {
  it.each<[string, Record<string, never> | object, RegExp]>([
    ['no handover', { homeserver: {} }, /config\.yaml: homeserver\.handover: is missing; expected none/],
    [
      'another store',
      { store: { kind: 'mariadb' } },
      /config\.yaml: store\.kind is "mariadb"; expected sqlite or postgres/,
    ],
    ['an unknown key', { listen: { prot: 1 } }, /config\.yaml: listen\.prot is no key of the configuration; expected/],
    ['no key file', { signing_key_path: '/nowhere/key' }, /config\.yaml: signing_key_path: .*generate-key/],
  ])('%s: exits with 78 and one line that says so', async (_name, changes, line) => {
    const config = await work.configure(changes as never)
    const { code, out, err } = await work.run(command, '-c', config)
    expect([code, out]).toEqual([78, ''])
    expect(err.trimEnd().split('\n')).toEqual([expect.stringMatching(line)])
  })

  it('a file that is not there: exits with 78', async () => {
    expect(await work.run(command, '-c', work.at('none.yaml'))).toMatchObject({
      code: 78,
      err: expect.stringMatching(/none\.yaml: cannot be read/),
    })
  })
})

describe('commands on the store', () => {
  it.each([
    ['rooms', 'list'],
    ['rooms', 'show', '!room:resident.example'],
    ['knocks', 'list'],
  ])('%s %s exits with 78 for a store in memory', async (...args) => {
    const config = await work.configure({ store: { kind: 'memory' } })
    const { code, err } = await work.run(...args, '-c', config)
    expect([code, err]).toEqual([
      78,
      expect.stringMatching(/config\.yaml: store\.kind is "memory"; expected sqlite or postgres/),
    ])
  })

  it('a store that is no database exits with 1 and says which', async () => {
    const config = await work.configure()
    await writeFile(work.at('knock.db'), 'no database, but long enough to be taken for a header of one'.repeat(100))
    const { code, err } = await work.run('rooms', 'list', '-c', config)
    expect([code, err]).toEqual([1, expect.stringContaining(`store.path: ${work.at('knock.db')} cannot be opened`)])
  })

  it('a database that cannot be reached exits with 1 and says so, but neither where it is nor the password', {
    timeout: 30_000,
  }, async () => {
    const config = await work.configure({
      store: { kind: 'postgres', url: 'postgres://knock:hunter2@127.0.0.1:1/rooms' },
    })
    const { code, err } = await work.run('rooms', 'list', '-c', config)
    expect([code, err]).toEqual([1, expect.stringMatching(/store\.url: the database cannot be opened: .*ECONNREFUSED/)])
    expect(err).not.toMatch(/hunter2|127\.0\.0\.1/)
  })
})

describe('health', () => {
  it('exits with 1 where nobody answers', async () => {
    const config = await work.configure({ admin: { host: '::', port: 1 } })
    const { code, err } = await work.run('health', '-c', config)
    expect([code, err]).toEqual([1, expect.stringContaining('http://[::1]:1/health cannot be reached')])
  })
})

describe('a password in a configuration that others can read', () => {
  it('is warned of by check-config and doctor, with the file and what to do', async () => {
    const url = 'postgres://knock:hunter2@127.0.0.1:9/knock'
    const config = await work.configure({ store: { kind: 'postgres', url } })
    await chmod(config, 0o644)
    const remedy = new RegExp(`^warning: ${config}: store\\.url .*chmod 600 ${config}`)
    expect(await work.run('check-config', '-c', config)).toMatchObject({ code: 0, err: expect.stringMatching(remedy) })
    await chmod(config, 0o600)
    expect(await work.run('check-config', '-c', config)).toMatchObject({ code: 0, err: '' })
    // A store that needs no database has its own file for the password, which nobody uses.
    const path = await work.configure({ store: { kind: 'sqlite', path: work.at('knock.db'), url } })
    await chmod(path, 0o644)
    const { out } = await work.run('doctor', '-c', path, '--json')
    expect(JSON.parse(out)).toContainEqual({
      ...{ name: 'files', outcome: 'note' },
      detail: expect.stringMatching(/store\.url .*chmod 600/),
    })
  })
})
