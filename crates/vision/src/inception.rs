//! Inception-v3 (Szegedy et al. 2016): convolutions of several sizes side by side, the large ones taken
//! apart into small or flat ones. The blocks have the names that implementations give them, A to E; B and D halve
//! rows and columns.

use model::manifest::InceptionConfig;
use nn::{Conv, GraphBuilder, GraphError, Init, NodeId, Window};

/// What the variance of a normalisation is added to.
const EPSILON: f32 = 1e-3;

type Result<T> = std::result::Result<T, GraphError>;

struct Builder<'a> {
    g: &'a mut GraphBuilder,
    divide: usize,
}

/// The layers of an [`InceptionConfig`], from images to one logit a label.
pub(crate) fn describe(
    g: &mut GraphBuilder,
    images: NodeId,
    config: &InceptionConfig,
    labels: usize,
) -> Result<NodeId> {
    let divide = config.divide.max(1);
    let mut b = Builder { g, divide };
    let x = b.conv("stem.0", images, 32, Window::new(3).stride(2))?;
    let x = b.conv("stem.1", x, 32, Window::new(3))?;
    let x = b.conv("stem.2", x, 64, same(3, 3))?;
    let x = b.g.max_pool("stem.pool.0", x, Window::new(3).stride(2))?;
    let x = b.conv("stem.3", x, 80, Window::new(1))?;
    let x = b.conv("stem.4", x, 192, Window::new(3))?;
    let mut x = b.g.max_pool("stem.pool.1", x, Window::new(3).stride(2))?;
    for (name, pooled) in [("a.0", 32), ("a.1", 64), ("a.2", 64)] {
        x = b.a(name, x, pooled)?;
    }
    x = b.b("b", x)?;
    for (name, between) in [("c.0", 128), ("c.1", 160), ("c.2", 160), ("c.3", 192)] {
        x = b.c(name, x, between)?;
    }
    x = b.d("d", x)?;
    for name in ["e.0", "e.1"] {
        x = b.e(name, x)?;
    }
    let x = g.global_average(x);
    let x = g.dropout(x, config.dropout);
    Ok(g.dense("head", x, labels, Init::glorot(2048 / divide, labels)))
}

/// A window that keeps the size of a map.
fn same(rows: usize, columns: usize) -> Window {
    Window { kernel: (rows, columns), padding: (rows / 2, columns / 2), ..Window::new(1) }
}

impl Builder<'_> {
    /// A convolution, a normalisation and the rectifier.
    fn conv(&mut self, name: &str, x: NodeId, outputs: usize, window: Window) -> Result<NodeId> {
        let x = self.g.conv(&format!("{name}.conv"), x, Conv::new(outputs / self.divide, window))?;
        let x = self.g.batch_norm_over(&format!("{name}.norm"), x, EPSILON);
        Ok(self.g.relu(x))
    }

    /// Convolutions one after the other; the names count them.
    fn row(&mut self, name: &str, x: NodeId, layers: &[(usize, Window)]) -> Result<NodeId> {
        let named = layers.iter().enumerate();
        named.fold(Ok(x), |x, (place, (outputs, window))| {
            self.conv(&format!("{name}.{place}"), x?, *outputs, *window)
        })
    }

    /// The mean of the places around, and a 1 x 1 convolution.
    fn pooled(&mut self, name: &str, x: NodeId, outputs: usize) -> Result<NodeId> {
        let y = self.g.average_pool(&format!("{name}.pool"), x, Window::new(3).padding(1))?;
        self.conv(&format!("{name}.pooled"), y, outputs, Window::new(1))
    }

    fn a(&mut self, name: &str, x: NodeId, pooled: usize) -> Result<NodeId> {
        let one = self.row(&format!("{name}.one"), x, &[(64, Window::new(1))])?;
        let five = self.row(&format!("{name}.five"), x, &[(48, Window::new(1)), (64, same(5, 5))])?;
        let layers = [(64, Window::new(1)), (96, same(3, 3)), (96, same(3, 3))];
        let three = self.row(&format!("{name}.three"), x, &layers)?;
        let pooled = self.pooled(name, x, pooled)?;
        self.g.concat(&format!("{name}.join"), &[one, five, three, pooled])
    }

    fn b(&mut self, name: &str, x: NodeId) -> Result<NodeId> {
        let halved = Window::new(3).stride(2);
        let three = self.row(&format!("{name}.three"), x, &[(384, halved)])?;
        let layers = [(64, Window::new(1)), (96, same(3, 3)), (96, halved)];
        let twice = self.row(&format!("{name}.twice"), x, &layers)?;
        let pooled = self.g.max_pool(&format!("{name}.pool"), x, halved)?;
        self.g.concat(&format!("{name}.join"), &[three, twice, pooled])
    }

    fn c(&mut self, name: &str, x: NodeId, between: usize) -> Result<NodeId> {
        let one = self.row(&format!("{name}.one"), x, &[(192, Window::new(1))])?;
        let layers = [(between, Window::new(1)), (between, same(1, 7)), (192, same(7, 1))];
        let seven = self.row(&format!("{name}.seven"), x, &layers)?;
        let layers = [
            (between, Window::new(1)),
            (between, same(7, 1)),
            (between, same(1, 7)),
            (between, same(7, 1)),
            (192, same(1, 7)),
        ];
        let twice = self.row(&format!("{name}.twice"), x, &layers)?;
        let pooled = self.pooled(name, x, 192)?;
        self.g.concat(&format!("{name}.join"), &[one, seven, twice, pooled])
    }

    fn d(&mut self, name: &str, x: NodeId) -> Result<NodeId> {
        let halved = Window::new(3).stride(2);
        let three = self.row(&format!("{name}.three"), x, &[(192, Window::new(1)), (320, halved)])?;
        let layers = [(192, Window::new(1)), (192, same(1, 7)), (192, same(7, 1)), (192, halved)];
        let seven = self.row(&format!("{name}.seven"), x, &layers)?;
        let pooled = self.g.max_pool(&format!("{name}.pool"), x, halved)?;
        self.g.concat(&format!("{name}.join"), &[three, seven, pooled])
    }

    fn e(&mut self, name: &str, x: NodeId) -> Result<NodeId> {
        let one = self.row(&format!("{name}.one"), x, &[(320, Window::new(1))])?;
        let three = self.row(&format!("{name}.three"), x, &[(384, Window::new(1))])?;
        let [wide, tall] = self.split(&format!("{name}.three"), three)?;
        let layers = [(448, Window::new(1)), (384, same(3, 3))];
        let twice = self.row(&format!("{name}.twice"), x, &layers)?;
        let [wide_twice, tall_twice] = self.split(&format!("{name}.twice"), twice)?;
        let pooled = self.pooled(name, x, 192)?;
        let parts = [one, wide, tall, wide_twice, tall_twice, pooled];
        self.g.concat(&format!("{name}.join"), &parts)
    }

    /// A flat and a tall convolution side by side.
    fn split(&mut self, name: &str, x: NodeId) -> Result<[NodeId; 2]> {
        let wide = self.conv(&format!("{name}.wide"), x, 384, same(1, 3))?;
        Ok([wide, self.conv(&format!("{name}.tall"), x, 384, same(3, 1))?])
    }
}
