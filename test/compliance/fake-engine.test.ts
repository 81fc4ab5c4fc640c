import { engineCompliance } from './engine-suite.ts'
import { FakeEngine } from './fake-engine.ts'

engineCompliance('fake', () => new FakeEngine())
